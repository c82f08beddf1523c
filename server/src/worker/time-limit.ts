import { setMaxListeners } from "node:events";
import { stallTimer } from "docker-over-ssh/builds";
import { TimeIsUp } from "./outcomes.ts";

/** ms that a timer takes; more would end at once. 24 days */
const MAX_TIMER = 2 ** 31 - 1;

/**
 * Returns a signal that is aborted with the reason of the first of `signals`, or with {@link TimeIsUp} after `ms`, by the monotonic clock. Disposing
 * lifts the limit.
 */
export function timeLimit(ms: number, ...signals: readonly AbortSignal[]): { signal: AbortSignal } & Disposable {
  // Not AbortSignal.any: each signal that it makes leaves something in those that live as long as the worker.
  const timer = stallTimer(() => new TimeIsUp(ms), ...signals);
  timer.start(Math.min(ms, MAX_TIMER));
  setMaxListeners(0, timer.signal); // requests of one job that run at the same time
  return timer;
}
