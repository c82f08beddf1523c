/** A signal with a time limit. Disposing ends the limit: the signal is not aborted by it any more. */
export interface Deadline extends Disposable {
  readonly signal: AbortSignal;
  /** The time is up. */
  readonly isOver: boolean;
}

/**
 * Aborted with the reason of the first of `signals`, or after so many ms. Not `AbortSignal.any` with `AbortSignal.timeout`: on Node 20
 * nobody holds the latter, and when it has been collected it never fires (20.20, tried with --expose-gc).
 */
export function deadline(ms: number, ...signals: readonly (AbortSignal | undefined)[]): Deadline {
  const controller = new AbortController();
  const given = signals.filter((signal) => signal !== undefined);
  let isOver = false;
  const timer = setTimeout(() => {
    isOver = true;
    controller.abort(new Error(`no answer within ${ms / 1000} s`));
  }, ms);
  const onAbort = (): void => controller.abort(given.find(({ aborted }) => aborted)?.reason);
  const end = (): void => {
    clearTimeout(timer);
    for (const signal of given) signal.removeEventListener("abort", onAbort);
  };
  controller.signal.addEventListener("abort", end, { once: true });
  for (const signal of given) signal.addEventListener("abort", onAbort);
  if (given.some(({ aborted }) => aborted)) onAbort();
  return {
    signal: controller.signal,
    get isOver() {
      return isOver;
    },
    [Symbol.dispose]: end,
  };
}
