/**
 * Small chunks joined to such of `size` bytes or more; large ones pass as they are. A stream that fails gives what it had come to
 * first, so that it can be kept.
 */
export async function* gather(chunks: AsyncIterable<Buffer>, size: number): AsyncGenerator<Buffer> {
  let waiting: Buffer[] = [];
  let bytes = 0;
  let failure: { error: unknown } | undefined;
  const all = (): Buffer => {
    const [first = Buffer.alloc(0), ...others] = waiting;
    waiting = [];
    bytes = 0;
    return others.length === 0 ? first : Buffer.concat([first, ...others]);
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
