/**
 * Calls `work` for up to `concurrency` items at a time, and yields the results in the order of the items. Does not read further items
 * ahead. Yields each result as soon as it is ready, even if the next item has not arrived, so that no data is lost when a link breaks. When
 * the items fail, yields the results of the earlier items first.
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
    // Does not wait for a pending item: the owner of the items ends it.
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
