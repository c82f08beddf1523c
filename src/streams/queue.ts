import { deferred } from "./deferred.ts";

/** What one side puts in, several others take out, each item once. */
export interface Queue<T> extends AsyncIterable<T> {
  push(item: T): void;
  /** No more will come. */
  end(): void;
}

/**
 * An unbounded queue: whoever pushes sees to it that there are not too many. Leaving an iteration leaves the queue as it is.
 *
 * @param rank Of those that wait, the one with the lowest comes first. Left out: the one that was pushed first.
 */
export function queue<T>(rank?: (item: T) => number): Queue<T> {
  const items: T[] = [];
  let ended = false;
  let changed = deferred<void>();
  const wake = (): void => {
    changed.resolve();
    changed = deferred();
  };
  return {
    push(item) {
      items.push(item);
      wake();
    },
    end() {
      ended = true;
      wake();
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        const { promise } = changed;
        if (items.length > 0) yield items.splice(rank === undefined ? 0 : lowest(items, rank), 1)[0] as T;
        else if (ended) return;
        else await promise;
      }
    },
  };
}

function lowest<T>(items: readonly T[], rank: (item: T) => number): number {
  const ranks = items.map(rank);
  return ranks.indexOf(Math.min(...ranks));
}
