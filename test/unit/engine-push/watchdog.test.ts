import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Watchdog } from "../../../src/engine-push/watchdog.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const watch = (): { watchdog: Watchdog; late: string[] } => {
  const late: string[] = [];
  const first = { ms: 10, onTimeout: () => late.push("first") };
  return { late, watchdog: new Watchdog(first, { ms: 30, onTimeout: () => late.push("quiet") }) };
};

test("waits for the first sign of life", () => {
  const { late } = watch();
  vi.advanceTimersByTime(10);
  expect(late).toEqual(["first"]);
});

test("after each sign of life, waits for the next", () => {
  const { late, watchdog } = watch();
  watchdog.reset();
  for (let count = 0; count < 5; count++) {
    vi.advanceTimersByTime(29);
    watchdog.reset();
  }
  expect(late).toEqual([]);
  vi.advanceTimersByTime(30);
  expect(late).toEqual(["quiet"]);
});

test("not after its end", () => {
  const { late, watchdog } = watch();
  watchdog[Symbol.dispose]();
  vi.advanceTimersByTime(100);
  expect(late).toEqual([]);
});
