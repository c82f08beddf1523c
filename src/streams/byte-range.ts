/** Yields the bytes `first` to `last` of a stream, both inclusive, counted from 0. Reads the bytes before them, and none after them. */
export async function* byteRange(
  whole: AsyncIterable<Buffer>,
  { first, last = Infinity }: { first: number; last?: number },
): AsyncGenerator<Buffer> {
  let at = 0;
  for await (const chunk of whole) {
    const wanted = chunk.subarray(Math.max(0, first - at), Math.max(0, last + 1 - at));
    at += chunk.length;
    if (wanted.length > 0) yield wanted;
    if (at > last) return;
  }
}
