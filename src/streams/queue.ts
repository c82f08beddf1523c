import { deferred } from "./deferred.ts";

/** What one side puts in, several others take out, each item once, in order. */
export interface Queue<T> extends AsyncIterable<T> {
  push(item: T): void;
  /** No more will come. */
  end(): void;
}

/** An unbounded queue: whoever pushes sees to it that there are not too many. Leaving an iteration leaves the queue as it is. */
export function queue<T>(): Queue<T> {
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
        if (items.length > 0) yield items.shift() as T;
        else if (ended) return;
        else await promise;
      }
    },
  };
}
