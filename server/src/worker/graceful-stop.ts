import { Stopped } from "../store/job-store.ts";

/**
 * Stops a worker in two stages. At the first, the worker stops taking jobs; at the second, running jobs are
 * interrupted. The second stage begins when no job runs any more, and at the latest `grace` ms after the first.
 */
export class GracefulStop implements Disposable {
  /** Aborted at the first stage. */
  readonly first: AbortSignal;
  readonly #grace: number;
  readonly #second = new AbortController();
  #running = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(first: AbortSignal, grace: number) {
    this.first = first;
    this.#grace = grace;
    if (first.aborted) this.#begin();
    else first.addEventListener("abort", this.#begin, { once: true });
  }

  /** Aborted at the second stage, with a {@link Stopped}. */
  get second(): AbortSignal {
    return this.#second.signal;
  }

  /** Counts a job while `run` runs it. */
  async while<T>(run: () => Promise<T>): Promise<T> {
    this.#running += 1;
    try {
      return await run();
    } finally {
      this.#running -= 1;
      if (this.first.aborted) this.#endIfIdle();
    }
  }

  /** Waits for the second stage, and rejects with its reason: no more jobs may be taken. */
  async takesNone(): Promise<never> {
    if (!this.second.aborted) {
      await new Promise((resolve) => this.second.addEventListener("abort", resolve, { once: true }));
    }
    throw this.second.reason;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.first.removeEventListener("abort", this.#begin);
  }

  readonly #begin = (): void => {
    this.#timer = setTimeout(() => this.#interrupt(), this.#grace);
    this.#endIfIdle();
  };

  #endIfIdle(): void {
    if (this.#running === 0) this.#interrupt();
  }

  #interrupt(): void {
    clearTimeout(this.#timer);
    this.#second.abort(new Stopped("stopping"));
  }
}
