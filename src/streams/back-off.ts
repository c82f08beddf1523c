/** The maximum number of seconds between two attempts. */
const LONGEST = 30;

/** The pauses between attempts to connect: 1, 2, 4 … 30 seconds. */
export class BackOff {
  #seconds = 1;

  /** Returns the seconds until the next attempt. */
  next(): number {
    const seconds = this.#seconds;
    this.#seconds = Math.min(seconds * 2, LONGEST);
    return seconds;
  }

  /** Starts again with the shortest pause. Call it after an attempt that succeeded. */
  reset(): void {
    this.#seconds = 1;
  }
}
