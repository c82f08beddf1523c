import { setMaxListeners } from "node:events";

/** Limits the time that this process waits for movement. Disposing stops the timer permanently. */
export interface StallTimer extends Disposable {
  /** Aborted with the reason of the first of the given signals, or when a wait takes too long. */
  readonly signal: AbortSignal;
  /** Starts a wait of at most `ms`, and ends the current one. Infinity means no limit. */
  start(ms: number): void;
  /** Ends the current wait: something has moved, or this process waits for something else. */
  stop(): void;
}

/** @param reasonOf returns the signal's reason after a wait of `ms` without movement */
export function stallTimer(
  reasonOf: (ms: number) => Error,
  ...signals: readonly (AbortSignal | undefined)[]
): StallTimer {
  const controller = new AbortController();
  const sources = signals.filter((signal) => signal !== undefined);
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;
  const stop = (): void => {
    clearTimeout(timer);
    timer = undefined;
  };
  const onAbort = (): void => controller.abort(sources.find(({ aborted }) => aborted)?.reason);
  const end = (): void => {
    isOver = true;
    stop();
    for (const signal of sources) signal.removeEventListener("abort", onAbort);
  };
  controller.signal.addEventListener("abort", end, { once: true });
  for (const signal of sources) {
    // One request for each layer of an image may wait on one signal; Node 20 reports the eleventh listener as a leak.
    setMaxListeners(0, signal);
    signal.addEventListener("abort", onAbort);
  }
  if (sources.some(({ aborted }) => aborted)) onAbort();
  return {
    signal: controller.signal,
    start(ms) {
      stop();
      if (ms === Infinity || isOver) return;
      timer = setTimeout(() => controller.abort(reasonOf(ms)), ms);
    },
    stop,
    [Symbol.dispose]: end,
  };
}
