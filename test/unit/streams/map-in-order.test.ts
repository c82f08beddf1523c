import { expect, test } from "vitest";
import { mapInOrder } from "../../../src/streams/map-in-order.ts";
import { deferred, type Deferred } from "../../../src/streams/deferred.ts";
import { queue } from "../../../src/streams/queue.ts";

/** Lets all pending work run. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** Work on numbers that ends when the test ends it. */
function slowWork() {
  const begun = new Map<number, Deferred<string>>();
  const work = async (item: number): Promise<string> => {
    const result = deferred<string>();
    begun.set(item, result);
    return await result.promise;
  };
  return { work, begun: () => [...begun.keys()], end: (item: number) => begun.get(item)?.resolve(String(item)) };
}

/** Reads all results. */
function collect(results: AsyncIterable<string>) {
  const got: string[] = [];
  const ended = (async () => {
    for await (const result of results) got.push(result);
  })();
  ended.catch(() => {});
  return { got, ended };
}

test("processes at most `concurrency` items at a time, and yields the results in order", async () => {
  const { work, begun, end } = slowWork();
  const items = queue<number>();
  for (const item of [1, 2, 3, 4]) items.push(item);
  items.end();
  const { got, ended } = collect(mapInOrder(items, work, 3));
  await settle();
  expect(begun()).toEqual([1, 2, 3]);
  end(2);
  await settle();
  expect([got, begun()]).toEqual([[], [1, 2, 3]]);
  end(1);
  await settle();
  expect([got, begun()]).toEqual([
    ["1", "2"],
    [1, 2, 3, 4],
  ]);
  end(4);
  end(3);
  await ended;
  expect(got).toEqual(["1", "2", "3", "4"]);
});

test("yields a ready result before the next item arrives", async () => {
  const items = queue<number>();
  const { got } = collect(mapInOrder(items, async (item) => String(item), 3));
  items.push(1);
  await settle();
  expect(got).toEqual(["1"]);
});

test("yields the earlier results first when the items fail", async () => {
  const { work, end } = slowWork();
  async function* broken(): AsyncGenerator<number> {
    yield 1;
    yield 2;
    throw new Error("the link is gone");
  }
  const { got, ended } = collect(mapInOrder(broken(), work, 3));
  await settle();
  end(1);
  end(2);
  await expect(ended).rejects.toThrow("the link is gone");
  expect(got).toEqual(["1", "2"]);
});

test("ends the items when the work fails, and when the reader leaves", async () => {
  const closed: string[] = [];
  async function* items(name: string): AsyncGenerator<number> {
    try {
      for (let item = 0; ; item += 1) yield item;
    } finally {
      closed.push(name);
    }
  }
  const failing = mapInOrder(items("failed"), async () => await Promise.reject<string>(new Error("no")), 3);
  await expect(collect(failing).ended).rejects.toThrow("no");
  for await (const _ of mapInOrder(items("left"), async (item) => String(item), 3)) break;
  await settle();
  expect(closed).toEqual(["failed", "left"]);
});
