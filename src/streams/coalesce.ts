/** Bytes that are worth a way to another thread and back: with 16 kB, as they often come, that takes half of the time. */
export const CHUNK = 256 * 1024;

/**
 * Small chunks joined to such of `size` bytes or more; large ones pass as they are. A stream that fails gives what it had come to
 * first, so that it can be kept.
 */
export async function* coalesce(chunks: AsyncIterable<Buffer>, size = CHUNK): AsyncGenerator<Buffer> {
  const waiting: Buffer[] = [];
  let bytes = 0;
  let failure: { error: unknown } | undefined;
  const all = (): Buffer => {
    bytes = 0;
    return concatChunks(waiting.splice(0));
  };
  try {
    for await (const chunk of chunks) {
      waiting.push(chunk);
      bytes += chunk.length;
      if (bytes >= size) yield all();
    }
  } catch (error) {
    failure = { error };
  }
  if (bytes > 0) yield all();
  if (failure !== undefined) throw failure.error;
}

/** One chunk is not copied. */
export function concatChunks(chunks: readonly Buffer[]): Buffer {
  const [first = Buffer.alloc(0), ...others] = chunks;
  return others.length === 0 ? first : Buffer.concat(chunks);
}
