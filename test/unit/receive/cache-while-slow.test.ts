import { expect, test } from "vitest";
import { cacheWhileSlow } from "../../../src/receive/cache-while-slow.ts";

/** Whether a layer is still kept after each of some seconds in which so many MB came. */
function kept(...megabytes: number[]): boolean[] {
  let ms = 0;
  const keepGoing = cacheWhileSlow(() => ms);
  return megabytes.map((each) => {
    ms += 1000;
    return keepGoing(each * 1_000_000);
  });
}

test("a layer is kept as long as it comes slowly, or is not much", () => {
  expect(kept(10, 10, 10, 10, 10, 10, 10, 10)).not.toContain(false);
  expect(kept(60)).toEqual([true]);
  expect(kept(100)).toEqual([false]);
  expect(kept(40, 40, 40, 200)).toEqual([true, true, true, false]);
});
