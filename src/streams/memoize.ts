/** Does it when it is first asked for, and never again. */
export function memoize<T>(start: () => Promise<T>): () => Promise<T> {
  let started: Promise<T> | undefined;
  return async () => await (started ??= start());
}

/** The same for each key. */
export function memoizeByKey<T>(start: (key: string) => Promise<T>): (key: string) => Promise<T> {
  const started = new Map<string, Promise<T>>();
  return async (key) => {
    const found = started.get(key) ?? start(key);
    started.set(key, found);
    return await found;
  };
}
