import { expect, test } from "vitest";
import { BackOff } from "../../../src/streams/back-off.ts";

test("doubles the pauses up to half a minute, and starts again after a success", () => {
  const backOff = new BackOff();
  expect(Array.from({ length: 7 }, () => backOff.next())).toEqual([1, 2, 4, 8, 16, 30, 30]);
  backOff.reset();
  expect(backOff.next()).toBe(1);
});
