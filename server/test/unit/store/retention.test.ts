import { expect, test } from "vitest";
import { expired } from "../../../src/store/retention.ts";

const MB = 1_000_000;
/** Jobs 0, 1, 2 …: job n has ended at n, with n MB. */
const jobs = (count: number): { id: string; finishedAt: number; bytes: number }[] =>
  Array.from({ length: count }, (_, index) => ({ id: String(index), finishedAt: index, bytes: index * MB }));
const ids = (first: number, last: number): string[] =>
  jobs(last + 1)
    .map(({ id }) => id)
    .slice(first);

test("nothing goes while all are young and small", () => {
  expect(expired(jobs(50), { age: 100, bytes: 2000 * MB }, 100)).toEqual([]);
  expect(expired([], { age: 0, bytes: 0 }, 100)).toEqual([]);
});

test("what is too old goes, whatever the order of the jobs", () => {
  expect(expired(jobs(50).toReversed(), { age: 75, bytes: Infinity }, 100)).toEqual(ids(0, 24));
});

test("the ten newest stay when all are too old: a clock that jumps does not remove everything", () => {
  expect(expired(jobs(50), { age: 75, bytes: Infinity }, 1e12)).toEqual(ids(0, 39));
});

test("the oldest go while there is too much, and the newest stays", () => {
  const one = { id: "9", finishedAt: 9, bytes: 50 * MB };
  expect(expired([...jobs(9), one], { age: Infinity, bytes: 66 * MB }, 100)).toEqual(ids(0, 6));
  expect(expired([...jobs(9), one], { age: Infinity, bytes: 1 }, 100)).toEqual(ids(0, 8));
});

test("a job without a body counts as well: its record has a size", () => {
  const small = Array.from({ length: 100 }, (_, index) => ({ id: String(index), finishedAt: index, bytes: 0 }));
  const removed = expired(small, { age: Infinity, bytes: 400_000 }, 100);
  expect(removed.length).toBeGreaterThan(40);
  expect(removed.length).toBeLessThan(70);
});
