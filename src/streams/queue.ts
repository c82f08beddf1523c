import { deferred } from "./deferred.ts";

/** A queue with one producer and several consumers. Each item is delivered to one consumer. */
export interface Queue<T> extends AsyncIterable<T> {
  push(item: T): void;
  /** Ends all iterations when the queue is empty. */
  end(): void;
}

/**
 * Creates an unbounded queue: the producer limits the number of items. A consumer that leaves its iteration does not change the queue.
 *
 * @param rank the item with the lowest rank is delivered first. Default: the order in which items were pushed
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
