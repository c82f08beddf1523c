/** Bytes that are worth passing to another thread. With the usual chunks of 16 kB, passing them takes half of the time. */
export const CHUNK = 256 * 1024;

/**
 * Joins small chunks into chunks of `size` bytes or more, and passes large chunks unchanged. When the stream fails, yields the bytes that
 * arrived before the failure, so that they can be stored.
 */
export async function* coalesce(chunks: AsyncIterable<Buffer>, size = CHUNK): AsyncGenerator<Buffer> {
  const waiting: Buffer[] = [];
  let bytes = 0;
  let failure: { error: unknown } | undefined;
  const takeAll = (): Buffer => {
    bytes = 0;
    return concatChunks(waiting.splice(0));
  };
  try {
    for await (const chunk of chunks) {
      waiting.push(chunk);
      bytes += chunk.length;
      if (bytes >= size) yield takeAll();
    }
  } catch (error) {
    failure = { error };
  }
  if (bytes > 0) yield takeAll();
  if (failure !== undefined) throw failure.error;
}

/** Concatenates chunks. Returns a single chunk without copying it. */
export function concatChunks(chunks: readonly Buffer[]): Buffer {
  const [first = Buffer.alloc(0), ...others] = chunks;
  return others.length === 0 ? first : Buffer.concat(chunks);
}
