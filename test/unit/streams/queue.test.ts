import { expect, test } from "vitest";
import { queue } from "../../../src/streams/queue.ts";

test("delivers each item to one of several consumers, until the end", async () => {
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

test("keeps the other items when a consumer leaves its iteration", async () => {
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

test("delivers the item of the lowest rank first, and items of equal rank in the order in which they were pushed", async () => {
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

test("delivers the next item to a waiting consumer, whatever its rank", async () => {
  const items = queue<number>((item) => item);
  const first = items[Symbol.asyncIterator]().next();
  items.push(7);
  expect(await first).toEqual({ done: false, value: 7 });
});
