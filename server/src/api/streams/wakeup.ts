/** Lets one task sleep until something has happened. What happens while it does not sleep wakes it at once when it goes to sleep. */
export class Wakeup {
  readonly #onEnd: () => void;
  #isAwake = false;
  #isOver = false;
  #rouse: (() => void) | undefined;

  /** @param onEnd called once, when it ends */
  constructor(onEnd: () => void = () => {}) {
    this.#onEnd = onEnd;
  }

  /** Whether it has ended: nothing happens any more. */
  get isOver(): boolean {
    return this.#isOver;
  }

  wake(): void {
    this.#isAwake = true;
    this.#rouse?.();
  }

  /** Ends it. Whoever sleeps wakes up. Again, it changes nothing. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#rouse?.();
    this.#onEnd();
  }

  /** Sleeps for `ms` at most. Returns whether something has happened since the last sleep. */
  async sleep(ms: number): Promise<boolean> {
    if (!this.#isAwake && !this.#isOver) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        this.#rouse = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#rouse = undefined;
    }
    const isAwake = this.#isAwake;
    this.#isAwake = false;
    return isAwake;
  }
}
