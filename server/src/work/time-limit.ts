import { setMaxListeners } from "node:events";
import { TimeIsUp } from "./outcomes.ts";

/** ms that a timer takes; more would end at once. 24 days */
const MAX_TIMER = 2 ** 31 - 1;

/**
 * Returns a signal that is aborted with the reason of the first of `signals`, or with {@link TimeIsUp} after `ms`, by the monotonic clock. Disposing
 * lifts the limit.
 */
export function timeLimit(ms: number, ...signals: readonly AbortSignal[]): { signal: AbortSignal } & Disposable {
  const over = new AbortController();
  const timer = setTimeout(() => over.abort(new TimeIsUp(ms)), Math.min(ms, MAX_TIMER));
  const signal = AbortSignal.any([over.signal, ...signals]);
  setMaxListeners(0, signal); // requests of one job that run at the same time
  return {
    signal,
    [Symbol.dispose]: () => clearTimeout(timer),
  };
}
