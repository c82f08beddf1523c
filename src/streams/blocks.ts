/** Cuts a stream into blocks of `size` bytes, each in one piece. The last may be shorter; an empty stream has none. */
export async function* blocksOf(chunks: AsyncIterable<Buffer>, size: number): AsyncGenerator<Buffer> {
  let pending: Buffer[] = [];
  let have = 0;
  for await (const chunk of chunks) {
    let rest = chunk;
    while (have + rest.length >= size) {
      const end = size - have;
      yield Buffer.concat([...pending, rest.subarray(0, end)]);
      rest = rest.subarray(end);
      pending = [];
      have = 0;
    }
    if (rest.length > 0) pending.push(rest);
    have += rest.length;
  }
  if (have > 0) yield Buffer.concat(pending);
}

/** What `work` makes of each item, in the order of the items, while so many are being worked on. No more are taken than that. */
export async function* inOrder<T, R>(
  items: AsyncIterable<T>,
  work: (item: T) => Promise<R>,
  atOnce: number,
): AsyncGenerator<R> {
  const underWay: Promise<R>[] = [];
  for await (const item of items) {
    const working = work(item);
    working.catch(() => {}); // when whoever reads this has left
    underWay.push(working);
    if (underWay.length >= atOnce) yield (await underWay.shift()) as R;
  }
  for (const working of underWay) yield await working;
}

/** Bytes that tell whether a block can be compressed: so many, from each of so many places all over it. */
const SAMPLE = { bytes: 8 * 1024, places: 8 };

/** A part of a block from all over it; undefined for one so small that it had better be tried. */
export function sampleOf(block: Buffer): Buffer | undefined {
  const { bytes, places } = SAMPLE;
  const step = Math.floor(block.length / places);
  if (step < 2 * bytes) return undefined;
  return Buffer.concat(
    Array.from({ length: places }, (_, place) => block.subarray(place * step, place * step + bytes)),
  );
}
