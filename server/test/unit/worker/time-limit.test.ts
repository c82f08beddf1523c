import { expect, test } from "vitest";
import { TimeLimitReached } from "../../../src/worker/outcomes.ts";
import { timeLimit } from "../../../src/worker/time-limit.ts";

test("aborts with the first reason: of a signal, or of the time limit", async () => {
  const stop = new AbortController();
  {
    using limit = timeLimit(60_000, new AbortController().signal, stop.signal);
    stop.abort("stopped");
    expect(limit.signal.reason).toBe("stopped");
  }
  using over = timeLimit(1, new AbortController().signal);
  await new Promise((resolve) => over.signal.addEventListener("abort", resolve));
  expect(over.signal.reason).toBeInstanceOf(TimeLimitReached);
});

test("leaves no listeners of expired limits in a signal that lives as long as the worker", () => {
  const { signal } = new AbortController();
  for (let job = 0; job < 100; job += 1) timeLimit(60_000, signal)[Symbol.dispose]();
  // The entries that AbortSignal.any keeps, if Node shows them.
  const dependents = Object.getOwnPropertySymbols(signal).map(
    (name) => (signal as unknown as Record<symbol, unknown>)[name],
  );
  const sizes = dependents.flatMap((value) =>
    typeof value === "object" && value !== null && "size" in value ? [Number(value.size)] : [],
  );
  expect(Math.max(0, ...sizes)).toBeLessThan(10);
});
