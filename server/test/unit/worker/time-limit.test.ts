import { expect, test } from "vitest";
import { TimeIsUp } from "../../../src/worker/outcomes.ts";
import { timeLimit } from "../../../src/worker/time-limit.ts";

test("the first reason counts: of a signal, or that the time is up", async () => {
  const stop = new AbortController();
  {
    using limit = timeLimit(60_000, new AbortController().signal, stop.signal);
    stop.abort("stopped");
    expect(limit.signal.reason).toBe("stopped");
  }
  using over = timeLimit(1, new AbortController().signal);
  await new Promise((resolve) => over.signal.addEventListener("abort", resolve));
  expect(over.signal.reason).toBeInstanceOf(TimeIsUp);
});

test("limits that are over leave nothing in a signal that lives as long as the worker", () => {
  const { signal } = new AbortController();
  for (let job = 0; job < 100; job += 1) timeLimit(60_000, signal)[Symbol.dispose]();
  // What AbortSignal.any keeps, where Node lets it be seen.
  const kept = Object.getOwnPropertySymbols(signal).map((name) => (signal as unknown as Record<symbol, unknown>)[name]);
  const sizes = kept.flatMap((value) =>
    typeof value === "object" && value !== null && "size" in value ? [Number(value.size)] : [],
  );
  expect(Math.max(0, ...sizes)).toBeLessThan(10);
});
