/** Calls at a time: Node reads files with four threads, and each should have its next one. */
const CONCURRENCY = 8;

/**
 * Calls `use` for each item, {@link CONCURRENCY} at a time, and yields the results in the order of the items. Calls that are running when the
 * loop is left end on their own. Throws the first error in that order.
 */
export async function* mapConcurrently<From, To>(
  all: Iterable<From>,
  use: (one: From) => Promise<To>,
): AsyncGenerator<To> {
  const begun: Promise<To>[] = [];
  for (const one of all) {
    const doing = use(one);
    doing.catch(() => {}); // awaited when its turn comes
    begun.push(doing);
    if (begun.length === CONCURRENCY) yield (await begun.shift()) as To;
  }
  for (const doing of begun) yield await doing;
}
