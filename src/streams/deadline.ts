import { stallTimer } from "./stall-timer.ts";

/** A signal with a time limit. Disposing removes the limit, which then no longer aborts the signal. */
export interface Deadline extends Disposable {
  readonly signal: AbortSignal;
  /** Whether the time limit has passed. */
  readonly isOver: boolean;
}

/**
 * Returns a signal that is aborted with the reason of the first of `signals`, or after `ms`. Does not use `AbortSignal.any` with
 * `AbortSignal.timeout`: on Node 20 nothing references the latter, so it is garbage-collected and never fires (20.20, tried with
 * --expose-gc).
 */
export function deadline(ms: number, ...signals: readonly (AbortSignal | undefined)[]): Deadline {
  let isOver = false;
  const timer = stallTimer(
    () => {
      isOver = true;
      return new Error(`no answer within ${ms / 1000} s`);
    },
    ...signals,
  );
  timer.start(ms);
  return {
    signal: timer.signal,
    get isOver() {
      return isOver;
    },
    [Symbol.dispose]: () => timer[Symbol.dispose](),
  };
}
