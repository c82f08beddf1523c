import { expect, test } from "vitest";
import { queue } from "../../../src/streams/queue.ts";

test("each item goes to one of several consumers, until the end", async () => {
  const items = queue<number>();
  items.push(1);
  const taken: number[] = [];
  const take = async (): Promise<void> => {
    for await (const item of items) taken.push(item);
  };
  const takers = [take(), take(), take()];
  items.push(2);
  await Promise.resolve();
  items.push(3);
  items.end();
  await Promise.all(takers);
  expect(taken.toSorted()).toEqual([1, 2, 3]);
});

test("leaving an iteration leaves the other items in the queue", async () => {
  const items = queue<number>();
  for (const item of [1, 2, 3]) items.push(item);
  items.end();
  for await (const item of items) {
    expect(item).toBe(1);
    break;
  }
  const rest: number[] = [];
  for await (const item of items) rest.push(item);
  expect(rest).toEqual([2, 3]);
});

test("the item of the lowest rank comes first; of equal ranks, the first pushed", async () => {
  const items = queue<string>((item) => item.length);
  for (const item of ["ccc", "b", "dd", "a"]) items.push(item);
  const taken: string[] = [];
  for await (const item of items) {
    taken.push(item);
    if (item === "dd") items.push("e");
    if (item === "e") items.end();
  }
  expect(taken).toEqual(["b", "a", "dd", "e", "ccc"]);
});

test("a waiting consumer gets the next item, whatever its rank", async () => {
  const items = queue<number>((item) => item);
  const first = items[Symbol.asyncIterator]().next();
  items.push(7);
  expect(await first).toEqual({ done: false, value: 7 });
});
