import { stallTimer } from "./stall-timer.ts";

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
  let isOver = false;
  const watch = stallTimer(
    () => {
      isOver = true;
      return new Error(`no answer within ${ms / 1000} s`);
    },
    ...signals,
  );
  watch.start(ms);
  return {
    signal: watch.signal,
    get isOver() {
      return isOver;
    },
    [Symbol.dispose]: () => watch[Symbol.dispose](),
  };
}
