import { setMaxListeners } from "node:events";

/** Watches over waits in which something has to move. Disposing ends the watch. */
export interface StallTimer extends Disposable {
  /** Aborted with the reason of the first of the signals that were given, or when a wait took too long. */
  readonly signal: AbortSignal;
  /** From now on something is waited for, for so many ms at most. Infinity: for ever. */
  start(ms: number): void;
  /** It has come, or what is waited for now is somebody else's. */
  stop(): void;
}

/** @param reasonOf What the signal's reason is when a wait of so many ms was in vain. */
export function stallTimer(
  reasonOf: (ms: number) => Error,
  ...signals: readonly (AbortSignal | undefined)[]
): StallTimer {
  const controller = new AbortController();
  const given = signals.filter((signal) => signal !== undefined);
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;
  const rest = (): void => {
    clearTimeout(timer);
    timer = undefined;
  };
  const onAbort = (): void => controller.abort(given.find(({ aborted }) => aborted)?.reason);
  const end = (): void => {
    isOver = true;
    rest();
    for (const signal of given) signal.removeEventListener("abort", onAbort);
  };
  controller.signal.addEventListener("abort", end, { once: true });
  for (const signal of given) {
    // As many requests as an image has layers may wait at once, all on one signal; Node 20 takes the eleventh for a leak.
    setMaxListeners(0, signal);
    signal.addEventListener("abort", onAbort);
  }
  if (given.some(({ aborted }) => aborted)) onAbort();
  return {
    signal: controller.signal,
    start(ms) {
      rest();
      if (ms === Infinity || isOver) return;
      timer = setTimeout(() => controller.abort(reasonOf(ms)), ms);
    },
    stop: rest,
    [Symbol.dispose]: end,
  };
}
