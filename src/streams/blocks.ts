/** Cuts a stream into blocks of `size` bytes, each in one piece. The last may be shorter; an empty stream has none. */
export async function* splitIntoBlocks(chunks: AsyncIterable<Buffer>, size: number): AsyncGenerator<Buffer> {
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

/**
 * What `work` makes of each item, in the order of the items, while so many are being worked on. No more are taken than that.
 * Each is given when it is ready, though the next item may not have come: what has arrived is to be kept, also of a link that
 * breaks now. For the same reason, when the items fail, what had come before is given first.
 */
export async function* mapInOrder<T, R>(
  items: AsyncIterable<T>,
  work: (item: T) => Promise<R>,
  atOnce: number,
): AsyncGenerator<R> {
  const source = items[Symbol.asyncIterator]();
  const underWay: Watched<R>[] = [];
  let coming: Watched<IteratorResult<T>> | undefined;
  let failure: { error: unknown } | undefined;
  let isOver = false;
  try {
    for (;;) {
      const [first] = underWay;
      if (!isOver && underWay.length < atOnce) coming ??= watch(source.next());
      if (coming !== undefined && (first === undefined || coming.isSettled)) {
        try {
          const { done, value } = await coming.promise;
          if (done) isOver = true;
          else underWay.push(watch(work(value)));
        } catch (error) {
          failure = { error };
          isOver = true;
        }
        coming = undefined;
      } else if (first !== undefined && (coming === undefined || first.isSettled)) {
        underWay.shift();
        yield await first.promise;
      } else if (first !== undefined) await Promise.race([coming?.settled, first.settled]);
      else break;
    }
    if (failure !== undefined) throw failure.error;
  } finally {
    // An item that is on its way is not waited for: who gives it ends that.
    const left = isOver ? undefined : source.return?.();
    if (coming === undefined) await left;
    else left?.catch(() => {});
  }
}

interface Watched<T> {
  promise: Promise<T>;
  isSettled: boolean;
  /** Never rejects. */
  settled: Promise<void>;
}

function watch<T>(promise: Promise<T>): Watched<T> {
  const watched = { promise, isSettled: false, settled: Promise.resolve() };
  const settle = (): void => void (watched.isSettled = true);
  watched.settled = promise.then(settle, settle);
  return watched;
}

/** Bytes that tell whether a block can be compressed: so many, from each of so many places all over it. */
const SAMPLE = { bytes: 8 * 1024, places: 8 };

/** A part of a block from all over it; undefined for one so small that it had better be tried. */
export function sampleOf(block: Buffer): Buffer | undefined {
  const { bytes, places } = SAMPLE;
  const step = Math.floor(block.length / places);
  if (step < 2 * bytes) return undefined;
  return Buffer.concat(
    Array.from({ length: places }, (_, location) => block.subarray(location * step, location * step + bytes)),
  );
}
