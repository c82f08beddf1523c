/**
 * Lets one task sleep until something happens. If something happens while the task is awake, its next sleep ends at
 * once.
 */
export class Wakeup {
  readonly #onEnd: () => void;
  #isAwake = false;
  #isOver = false;
  #rouse: (() => void) | undefined;

  /** @param onEnd called once, at the end */
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

  /** Ends it, and wakes the sleeping task. Repeated calls have no effect. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#rouse?.();
    this.#onEnd();
  }

  /** Sleeps for at most `ms`. Returns whether something has happened since the last sleep. */
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
