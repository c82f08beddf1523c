import { setTimeout as pause } from "node:timers/promises";
import { messageOf, type Failure } from "../output/errors.ts";
import type { Output } from "../output/output.ts";
import { BackOff } from "../streams/back-off.ts";
import { Busy } from "./problem.ts";
import { NotReached } from "./service-client.ts";

/** ms of failing attempts after which the client gives up. Until then the server may be restarting. */
const GIVE_UP_AFTER = 10 * 60_000;

/** The current time and pauses. A test replaces them. */
export interface Clock {
  /** ms */
  now(): number;
  /** Rejects with the signal's reason. */
  pause(ms: number, signal: AbortSignal): Promise<void>;
}

export const CLOCK: Clock = {
  now: () => performance.now(),
  pause: async (ms, signal) => {
    try {
      await pause(ms, undefined, { signal });
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    }
  },
};

/** Waits between attempts, and gives up after too long. */
export class RetryPolicy {
  readonly #clock: Clock;
  readonly #output: Output;
  readonly #backOff = new BackOff();
  /** Time of the first failure since the last success */
  #failingSince: number | undefined;

  constructor(clock: Clock, output: Output) {
    this.#clock = clock;
    this.#output = output;
  }

  /** Records a success. */
  reset(): void {
    this.#failingSince = undefined;
    this.#backOff.reset();
  }

  /**
   * Waits after a failed attempt: as long as the server requests, or longer with each attempt. Throws the error itself if another attempt cannot
   * help, and the result of `giveUp` if there is no time for one.
   */
  async wait(error: unknown, signal: AbortSignal, giveUp: (error: Error) => Failure): Promise<void> {
    signal.throwIfAborted();
    if (!(error instanceof NotReached || error instanceof Busy)) throw error;
    const backOff = this.#backOff.next() * 1000;
    const ms = error instanceof Busy ? Math.max(error.retryAfter ?? backOff, 1000) : backOff;
    const now = this.#clock.now();
    this.#failingSince ??= now;
    if (now - this.#failingSince + ms > GIVE_UP_AFTER) throw giveUp(error);
    this.#output.note({ code: "connecting-in", seconds: Math.ceil(ms / 1000), error: messageOf(error) });
    await this.#clock.pause(ms, signal);
  }
}
