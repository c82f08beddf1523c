/** Ends a wait that lasts too long. Does not keep the process alive. */
export class Watchdog implements Disposable {
  #timer: NodeJS.Timeout;
  #isFirst = true;
  readonly #ms: number;
  readonly #onQuiet: () => void;

  /** `first`: until something happens at all; `quiet`: between two things, which may be many. In ms. */
  constructor(first: { ms: number; onLate: () => void }, quiet: { ms: number; onLate: () => void }) {
    this.#ms = quiet.ms;
    this.#onQuiet = quiet.onLate;
    this.#timer = setTimeout(first.onLate, first.ms).unref();
  }

  /** Something has happened. */
  nudge(): void {
    if (!this.#isFirst) return void this.#timer.refresh();
    this.#isFirst = false;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#onQuiet, this.#ms).unref();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
