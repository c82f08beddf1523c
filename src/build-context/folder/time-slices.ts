import { setImmediate } from "node:timers/promises";

/** Milliseconds of work before other work of this process has its turn */
const SLICE = 20;

/**
 * Divides work by synchronous calls, which are five times as fast as others for small files, into slices, so that signals, progress and
 * streams are not kept waiting.
 */
export class TimeSlices {
  #end = performance.now() + SLICE;

  /** Returns what to await between two calls, if it is time. */
  pause(): Promise<void> | undefined {
    if (performance.now() < this.#end) return undefined;
    return setImmediate().then(() => {
      this.#end = performance.now() + SLICE;
    });
  }
}
