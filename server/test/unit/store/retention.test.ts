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

test("removes nothing while all jobs are young and small", () => {
  expect(expired(jobs(50), { age: 100, bytes: 2000 * MB }, 100)).toEqual([]);
  expect(expired([], { age: 0, bytes: 0 }, 100)).toEqual([]);
});

test("removes jobs that are too old, in any order of the jobs", () => {
  expect(expired(jobs(50).toReversed(), { age: 75, bytes: Infinity }, 100)).toEqual(ids(0, 24));
});

test("keeps the ten newest if all are too old: a clock that jumps does not remove everything", () => {
  expect(expired(jobs(50), { age: 75, bytes: Infinity }, 1e12)).toEqual(ids(0, 39));
});

test("removes the oldest while there are too many bytes, and keeps the newest", () => {
  const one = { id: "9", finishedAt: 9, bytes: 50 * MB };
  expect(expired([...jobs(9), one], { age: Infinity, bytes: 66 * MB }, 100)).toEqual(ids(0, 6));
  expect(expired([...jobs(9), one], { age: Infinity, bytes: 1 }, 100)).toEqual(ids(0, 8));
});

test("counts a job without a body, because its record has a size", () => {
  const small = Array.from({ length: 100 }, (_, index) => ({ id: String(index), finishedAt: index, bytes: 0 }));
  const removed = expired(small, { age: Infinity, bytes: 400_000 }, 100);
  expect(removed.length).toBeGreaterThan(40);
  expect(removed.length).toBeLessThan(70);
});
