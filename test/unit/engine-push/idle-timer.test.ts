import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { IdleTimer } from "../../../src/engine-push/idle-timer.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const watch = (): { idleTimer: IdleTimer; late: string[] } => {
  const late: string[] = [];
  const first = { ms: 10, onTimeout: () => late.push("first") };
  return { late, idleTimer: new IdleTimer(first, { ms: 30, onTimeout: () => late.push("quiet") }) };
};

test("waits for the first sign of life", () => {
  const { late } = watch();
  vi.advanceTimersByTime(10);
  expect(late).toEqual(["first"]);
});

test("after each sign of life, waits for the next one", () => {
  const { late, idleTimer } = watch();
  idleTimer.reset();
  for (let count = 0; count < 5; count++) {
    vi.advanceTimersByTime(29);
    idleTimer.reset();
  }
  expect(late).toEqual([]);
  vi.advanceTimersByTime(30);
  expect(late).toEqual(["quiet"]);
});

test("does not fire after its end", () => {
  const { late, idleTimer } = watch();
  idleTimer[Symbol.dispose]();
  vi.advanceTimersByTime(100);
  expect(late).toEqual([]);
});
