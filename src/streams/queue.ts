import { deferred } from "./deferred.ts";

/** A queue with one producer and several consumers; each item goes to one of them. */
export interface Queue<T> extends AsyncIterable<T> {
  push(item: T): void;
  /** Ends all iterations once the queue is empty. */
  end(): void;
}

/**
 * Creates an unbounded queue: the producer limits the number of items. Leaving an iteration leaves the queue unchanged.
 *
 * @param rank the item with the lowest rank comes first; by default, the one that was pushed first
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
