/**
 * Calls `work` for each item, up to `concurrency` at once, and yields the results in the order of the items. Takes no more items than that.
 * Yields each result as soon as it is ready, even while the next item has not arrived, so that data from a link that breaks
 * is kept. When the items fail, the results of the items before are yielded first.
 */
export async function* mapInOrder<T, R>(
  items: AsyncIterable<T>,
  work: (item: T) => Promise<R>,
  concurrency: number,
): AsyncGenerator<R> {
  const source = items[Symbol.asyncIterator]();
  const running: Watched<R>[] = [];
  let next: Watched<IteratorResult<T>> | undefined;
  let failure: { error: unknown } | undefined;
  let isOver = false;
  try {
    for (;;) {
      const [first] = running;
      if (!isOver && running.length < concurrency) next ??= watch(source.next());
      if (next !== undefined && (first === undefined || next.isSettled)) {
        try {
          const { done, value } = await next.promise;
          if (done) isOver = true;
          else running.push(watch(work(value)));
        } catch (error) {
          failure = { error };
          isOver = true;
        }
        next = undefined;
      } else if (first !== undefined && (next === undefined || first.isSettled)) {
        running.shift();
        yield await first.promise;
      } else if (first !== undefined) await Promise.race([next?.settled, first.settled]);
      else break;
    }
    if (failure !== undefined) throw failure.error;
  } finally {
    // Does not wait for an item that is still to come: the items' owner ends that.
    const left = isOver ? undefined : source.return?.();
    if (next === undefined) await left;
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
