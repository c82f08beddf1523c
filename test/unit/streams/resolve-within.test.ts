import { expect, test, vi } from "vitest";
import { resolveWithin } from "../../../src/streams/resolve-within.ts";

test("settles as the promise does if the promise settles in time", async () => {
  expect(await resolveWithin(60_000, Promise.resolve("here"))).toBe("here");
  await expect(resolveWithin(60_000, Promise.reject(new Error("no")))).rejects.toThrow("no");
});

test("resolves to undefined after the time limit", async () => {
  expect(await resolveWithin(1, new Promise(() => {}))).toBeUndefined();
});

test("leaves no timer behind", async () => {
  vi.useFakeTimers();
  await resolveWithin(60_000, Promise.resolve());
  await resolveWithin(60_000, Promise.reject(new Error("no"))).catch(() => {});
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});
