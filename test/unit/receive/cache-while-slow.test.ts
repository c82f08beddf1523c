import { expect, test } from "vitest";
import { cacheWhileSlow } from "../../../src/receive/cache-while-slow.ts";

/** Whether a layer is still written after each second in which so many MB arrived. */
function writtenAfter(...megabytes: number[]): boolean[] {
  let ms = 0;
  const keepGoing = cacheWhileSlow(() => ms);
  return megabytes.map((each) => {
    ms += 1000;
    return keepGoing(each * 1_000_000);
  });
}

test("a layer is written while it is slow or small", () => {
  expect(writtenAfter(10, 10, 10, 10, 10, 10, 10, 10)).not.toContain(false);
  expect(writtenAfter(60)).toEqual([true]);
  expect(writtenAfter(100)).toEqual([false]);
  expect(writtenAfter(40, 40, 40, 200)).toEqual([true, true, true, false]);
});
