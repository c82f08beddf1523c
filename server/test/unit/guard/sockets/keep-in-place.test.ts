import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { keepInPlace } from "../../../../src/guard/sockets/keep-in-place.ts";

/** Callbacks of the open watchers */
const open = vi.hoisted(() => new Set<() => void>());
vi.mock("node:fs", async (original) => ({
  ...(await original<typeof import("node:fs")>()),
  watch: (_path: string, _options: object, onChange: () => void) => {
    open.add(onChange);
    return { on: () => {}, close: () => open.delete(onChange) };
  },
}));

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const change = (): void => {
  for (const notify of open) notify();
};

test("reports a folder that changes all the time once before each check", async () => {
  let checks = 0;
  const repair = async (): Promise<boolean> => await Promise.resolve(++checks < 0);
  const keeper = keepInPlace({ folder: "/folder", interval: 10_000, repair });
  for (let round = 1; round <= 3; round++) {
    expect(open.size).toBe(1);
    change();
    expect(open.size).toBe(0);
    await vi.advanceTimersByTimeAsync(20);
    expect(checks).toBe(round);
  }
  await vi.advanceTimersByTimeAsync(10_000);
  expect(checks).toBe(4);
  keeper[Symbol.dispose]();
  expect(open.size).toBe(0);
});

test("checks a change during a check after it", async () => {
  let checks = 0;
  let end = (): void => {};
  const repair = async (): Promise<boolean> => {
    checks++;
    await new Promise<void>((resolve) => (end = resolve));
    return false;
  };
  using _ = keepInPlace({ folder: "/folder", interval: 10_000, repair });
  change();
  await vi.advanceTimersByTimeAsync(20);
  change();
  end();
  await vi.advanceTimersByTimeAsync(20);
  expect(checks).toBe(2);
  end();
});
