/** Returns a function that calls `start` once, on its first call, and returns the same result for all calls. */
export function memoize<T>(start: () => Promise<T>): () => Promise<T> {
  let started: Promise<T> | undefined;
  return async () => await (started ??= start());
}

/** Returns a function that calls `start` once for each key. By default, a value is its own key. */
export function memoizeByKey<V, T>(
  start: (value: V) => Promise<T>,
  keyOf: (value: V) => unknown = (value) => value,
): (value: V) => Promise<T> {
  const started = new Map<unknown, Promise<T>>();
  return async (value) => {
    const key = keyOf(value);
    const found = started.get(key) ?? start(value);
    started.set(key, found);
    return await found;
  };
}
