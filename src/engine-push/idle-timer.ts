interface TimeLimit {
  ms: number;
  /** Called when the time limit has passed. */
  onTimeout: () => void;
}

/** Limits the time until the first sign of activity, and between two of them. Does not keep the process alive. */
export class IdleTimer implements Disposable {
  #timer: NodeJS.Timeout;
  #isFirst = true;
  readonly #idle: TimeLimit;

  constructor(first: TimeLimit, idle: TimeLimit) {
    this.#idle = idle;
    this.#timer = setTimeout(first.onTimeout, first.ms).unref();
  }

  /** Restarts the timer. Call it on each sign of activity. */
  reset(): void {
    if (!this.#isFirst) return void this.#timer.refresh();
    this.#isFirst = false;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#idle.onTimeout, this.#idle.ms).unref();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
