/** Seconds between two attempts at most. */
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

  /** An attempt has succeeded. */
  reset(): void {
    this.#seconds = 1;
  }
}
