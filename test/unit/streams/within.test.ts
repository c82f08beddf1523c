import { expect, test, vi } from "vitest";
import { within } from "../../../src/streams/within.ts";

test("what comes in time", async () => {
  expect(await within(60_000, Promise.resolve("here"))).toBe("here");
  await expect(within(60_000, Promise.reject(new Error("no")))).rejects.toThrow("no");
});

test("what does not", async () => {
  expect(await within(1, new Promise(() => {}))).toBeUndefined();
});

test("leaves no timer behind", async () => {
  vi.useFakeTimers();
  await within(60_000, Promise.resolve());
  await within(60_000, Promise.reject(new Error("no"))).catch(() => {});
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});
