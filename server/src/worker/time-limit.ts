import { setMaxListeners } from "node:events";
import { stallTimer } from "docker-over-ssh/builds";
import { TimeLimitReached } from "./outcomes.ts";

/** Maximum ms of a timer, 24 days; a longer timer would fire at once */
const MAX_TIMER = 2 ** 31 - 1;

/**
 * Returns a signal that is aborted with the reason of the first of `signals`, or with {@link TimeLimitReached} after `ms`, by
 * the monotonic clock. Disposing removes the limit.
 */
export function timeLimit(ms: number, ...signals: readonly AbortSignal[]): { signal: AbortSignal } & Disposable {
  // Avoids AbortSignal.any, which leaves an entry in the signals that live as long as the worker.
  const timer = stallTimer(() => new TimeLimitReached(ms), ...signals);
  timer.start(Math.min(ms, MAX_TIMER));
  setMaxListeners(0, timer.signal); // several requests of one job run at the same time
  return timer;
}
