import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createThrottle } from "../../../../src/guard/sockets/throttle.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Calls until a call waits or is refused. */
async function burst(throttle: ReturnType<typeof createThrottle>, calls: number): Promise<unknown[]> {
  const ends: unknown[] = [];
  for (let call = 0; call < calls; call++)
    throttle.take().then(
      () => ends.push("ok"),
      (error: unknown) => ends.push(error),
    );
  await Promise.resolve();
  await Promise.resolve();
  return ends;
}

test("accepts a burst at once, delays requests after it, and refuses those that would wait too long", async () => {
  let now = 0;
  const throttle = createThrottle(() => ({ requests: 10 }), { now: () => now });
  const ends = await burst(throttle, 100);
  expect(ends).toEqual(Array.from({ length: 100 }, () => "ok"));
  const later = await burst(throttle, 51);
  expect(later).toEqual([expect.objectContaining({ rule: "quota.requests", statusCode: 429 })]);
  now = 10_000;
  expect(await burst(throttle, 50)).toHaveLength(50);
});

test("accepts one request at a rate below one per burst", async () => {
  expect(
    await burst(
      createThrottle(() => ({ requests: 0.01 })),
      1,
    ),
  ).toEqual(["ok"]);
});

test("ends a wait with the caller's signal", async () => {
  const throttle = createThrottle(() => ({ requests: 1 }), { now: () => 0 });
  await burst(throttle, 10);
  const caller = new AbortController();
  const waiting = throttle.take(caller.signal);
  caller.abort(new Error("it has gone"));
  await expect(waiting).rejects.toThrow("it has gone");
});
