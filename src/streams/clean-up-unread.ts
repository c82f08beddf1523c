/**
 * Passes a generator's values through, and calls `onUnread` if it is ended before its first value is requested: such a generator does not
 * run its `finally` blocks (ECMA-262, 27.6.3.8, "suspended-start").
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
