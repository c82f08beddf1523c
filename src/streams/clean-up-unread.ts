/**
 * The same values, once. A generator that is ended before its first value was asked for runs none of its `finally` blocks (ECMA-262,
 * 27.6.3.8, "suspended-start"): `onUnread` is called then.
 */
export function cleanUpUnread<T>(values: AsyncGenerator<T>, onUnread: () => void): AsyncIterableIterator<T> {
  let isBegun = false;
  const all: AsyncIterableIterator<T> = {
    next: async () => {
      isBegun = true;
      return await values.next();
    },
    return: async () => {
      if (!isBegun) onUnread();
      isBegun = true;
      return await values.return(undefined);
    },
    [Symbol.asyncIterator]: () => all,
  };
  return all;
}
