import { expect, test } from "vitest";
import { cacheWhileSlow } from "../../../src/receive/cache-while-slow.ts";

/** Returns, for each second and the MB that arrive in it, whether the layer is still written after that second. */
function writtenAfter(...megabytes: number[]): boolean[] {
  let ms = 0;
  const keepGoing = cacheWhileSlow(() => ms);
  return megabytes.map((each) => {
    ms += 1000;
    return keepGoing(each * 1_000_000);
  });
}

test("writes a layer while it is slow or small", () => {
  expect(writtenAfter(10, 10, 10, 10, 10, 10, 10, 10)).not.toContain(false);
  expect(writtenAfter(60)).toEqual([true]);
  expect(writtenAfter(100)).toEqual([false]);
  expect(writtenAfter(40, 40, 40, 200)).toEqual([true, true, true, false]);
});
