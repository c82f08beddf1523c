import { expect, test } from "vitest";
import { memoize, memoizeByKey } from "../../../src/streams/memoize.ts";

test("runs on the first call, and returns the same outcome to every call", async () => {
  const begun: string[] = [];
  const ask = memoize(async () => begun.push("it"));
  expect(begun).toEqual([]);
  expect(await Promise.all([ask(), ask()])).toEqual([1, 1]);
  expect(await ask()).toBe(1);
  const fail = memoize(async () => await Promise.reject(new Error(`failed ${begun.push("that")}`)));
  for (let times = 0; times < 2; times += 1) await expect(fail()).rejects.toThrow("failed 2");
});

test("runs once for each key", async () => {
  const begun: string[] = [];
  const ask = memoizeByKey(async (key: string) => begun.push(key));
  expect(await Promise.all([ask("one"), ask("another"), ask("one")])).toEqual([1, 2, 1]);
  expect(begun).toEqual(["one", "another"]);
});
