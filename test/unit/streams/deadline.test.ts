import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { deadline } from "../../../src/streams/deadline.ts";

describe("a deadline", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  test("is aborted when the time limit has passed, and not earlier", () => {
    using limit = deadline(1500);
    vi.advanceTimersByTime(1499);
    expect([limit.signal.aborted, limit.isOver]).toEqual([false, false]);
    vi.advanceTimersByTime(1);
    expect([limit.signal.aborted, limit.isOver]).toEqual([true, true]);
    expect(limit.signal.reason).toEqual(new Error("no answer within 1.5 s"));
  });

  test("is aborted by the first of its signals, with the reason of that signal", () => {
    const [one, another] = [new AbortController(), new AbortController()];
    using limit = deadline(1000, undefined, one.signal, another.signal);
    another.abort("the other");
    one.abort("the one");
    vi.advanceTimersByTime(1000);
    expect([limit.signal.reason, limit.isOver]).toEqual(["the other", false]);
  });

  test("is already aborted if one of its signals is aborted", () => {
    using limit = deadline(1000, new AbortController().signal, AbortSignal.abort("before"));
    expect(limit.signal.reason).toBe("before");
    expect(vi.getTimerCount()).toBe(0);
  });

  test("is not aborted after it is disposed of, and leaves no timer or listener", () => {
    const stop = new AbortController();
    const removed = vi.spyOn(stop.signal, "removeEventListener");
    const limit = deadline(1000, stop.signal);
    limit[Symbol.dispose]();
    expect(vi.getTimerCount()).toBe(0);
    expect(removed).toHaveBeenCalledOnce();
    vi.advanceTimersByTime(1000);
    stop.abort();
    expect([limit.signal.aborted, limit.isOver]).toEqual([false, false]);
  });
});

/** Node 20 garbage-collects an unreferenced AbortSignal.timeout, which then never fires. */
test("survives garbage collection if only a listener references it", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const aborted = new Promise<Event>((resolve) => {
    AbortSignal.any([deadline(100).signal]).addEventListener("abort", resolve);
  });
  const collecting = setInterval(collect, 5);
  expect(await aborted).toMatchObject({ type: "abort" });
  clearInterval(collecting);
});
