/**
 * Reads the first bytes of a stream, at least `length` unless it ends earlier. Returns them together with a stream of all its bytes. The
 * caller still owns `source`.
 */
export async function peek(
  source: AsyncIterable<Buffer>,
  length: number,
): Promise<{ start: Buffer; all: AsyncGenerator<Buffer> }> {
  const chunks = source[Symbol.asyncIterator]();
  let start: Buffer = Buffer.alloc(0);
  while (start.length < length) {
    const { done, value } = await chunks.next();
    if (done === true) break;
    start = start.length === 0 ? value : Buffer.concat([start, value]);
  }
  async function* all(): AsyncGenerator<Buffer> {
    if (start.length > 0) yield start;
    for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) yield next.value;
  }
  return { start, all: all() };
}
