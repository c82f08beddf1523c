/** Calls at a time: Node reads files with four threads, and each thread should have its next call queued. */
const CONCURRENCY = 8;

/**
 * Calls `use` for each item, {@link CONCURRENCY} at a time, and yields the results in the order of the items. Does not cancel the pending
 * calls when the caller leaves the loop. Throws the first error in the order of the items.
 */
export async function* mapConcurrently<From, To>(
  all: Iterable<From>,
  use: (item: From) => Promise<To>,
): AsyncGenerator<To> {
  const begun: Promise<To>[] = [];
  for (const item of all) {
    const result = use(item);
    result.catch(() => {}); // it is awaited in its turn
    begun.push(result);
    if (begun.length === CONCURRENCY) yield (await begun.shift()) as To;
  }
  for (const result of begun) yield await result;
}
