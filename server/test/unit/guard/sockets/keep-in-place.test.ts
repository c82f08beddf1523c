import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { keepLooking } from "../../../../src/guard/sockets/keep-in-place.ts";

/** Watchers that are open, by what they tell a change to */
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
  for (const tell of open) tell();
};

test("a folder that changes all the time is told of once before each look", async () => {
  let looks = 0;
  const look = async (): Promise<boolean> => await Promise.resolve(++looks < 0);
  const kept = keepLooking({ folder: "/folder", interval: 10_000, look });
  for (let round = 1; round <= 3; round++) {
    expect(open.size).toBe(1);
    change();
    expect(open.size).toBe(0);
    await vi.advanceTimersByTimeAsync(20);
    expect(looks).toBe(round);
  }
  await vi.advanceTimersByTimeAsync(10_000);
  expect(looks).toBe(4);
  kept[Symbol.dispose]();
  expect(open.size).toBe(0);
});

test("a change while it looks is looked at after that", async () => {
  let looks = 0;
  let end = (): void => {};
  const look = async (): Promise<boolean> => {
    looks++;
    await new Promise<void>((resolve) => (end = resolve));
    return false;
  };
  using _ = keepLooking({ folder: "/folder", interval: 10_000, look });
  change();
  await vi.advanceTimersByTimeAsync(20);
  change();
  end();
  await vi.advanceTimersByTimeAsync(20);
  expect(looks).toBe(2);
  end();
});
