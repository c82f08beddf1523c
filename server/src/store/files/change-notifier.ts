/** The longest delay of a timer in Node */
const MAX_DELAY = 2 ** 31 - 1;

/**
 * Wakes tasks that wait for a change. It does not remember a change: check the state and wait, without an await in
 * between.
 */
export class ChangeNotifier {
  readonly #waiting = new Set<() => void>();

  notify(): void {
    for (const wake of this.#waiting) wake();
  }

  /** Resolves at the next change, after `ms`, or when the signal is aborted. */
  async next(signal: AbortSignal, ms = MAX_DELAY): Promise<void> {
    if (signal.aborted) return;
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      const timer = setTimeout(wake, Math.min(Math.max(0, ms), MAX_DELAY));
      this.#waiting.add(wake);
      signal.addEventListener("abort", wake);
    });
  }
}
