/** Files that are opened at a time: Node reads with four threads, and each should have its next one. */
const AT_ONCE = 8;

/**
 * Does something with each, several at a time, and yields what comes of it in their order. Who leaves early leaves what is begun to end by
 * itself. Rejects with the first failure in that order.
 */
export async function* mapConcurrently<From, To>(
  all: Iterable<From>,
  use: (one: From) => Promise<To>,
): AsyncGenerator<To> {
  const begun: Promise<To>[] = [];
  for (const one of all) {
    const doing = use(one);
    doing.catch(() => {}); // heard of when its turn has come
    begun.push(doing);
    if (begun.length === AT_ONCE) yield (await begun.shift()) as To;
  }
  for (const doing of begun) yield await doing;
}
