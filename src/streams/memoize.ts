/** Returns a function that calls `start` once, on its first call, and returns that result from then on. */
export function memoize<T>(start: () => Promise<T>): () => Promise<T> {
  let started: Promise<T> | undefined;
  return async () => await (started ??= start());
}

/** Returns a function that calls `start` once for each key. */
export function memoizeByKey<T>(start: (key: string) => Promise<T>): (key: string) => Promise<T> {
  const started = new Map<string, Promise<T>>();
  return async (key) => {
    const found = started.get(key) ?? start(key);
    started.set(key, found);
    return await found;
  };
}
