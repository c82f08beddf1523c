import { setTimeout as pause } from "node:timers/promises";
import { messageOf, type Failure } from "../output/errors.ts";
import type { Output } from "../output/output.ts";
import { BackOff } from "../streams/back-off.ts";
import { Busy } from "./problem.ts";
import { NotReached } from "./service-client.ts";

/** ms of attempts that fail, after which a server is given up: it may be restarted meanwhile. */
const PATIENCE = 10 * 60_000;

/** Time, which a test makes pass. */
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

/** Waits between attempts, until the server has been given up. */
export class Patience {
  readonly #clock: Clock;
  readonly #output: Output;
  readonly #backOff = new BackOff();
  /** When the first attempt of those that fail now has failed */
  #failingSince: number | undefined;

  constructor(clock: Clock, output: Output) {
    this.#clock = clock;
    this.#output = output;
  }

  /** The server has told what it was asked for. */
  reset(): void {
    this.#failingSince = undefined;
    this.#backOff.reset();
  }

  /**
   * Waits after an attempt that has failed, as long as the server asks for, or longer with each attempt. Throws the error itself if another attempt
   * is no use, and `giveUp` of it if there is no time for one.
   */
  async wait(error: unknown, signal: AbortSignal, giveUp: (error: Error) => Failure): Promise<void> {
    signal.throwIfAborted();
    if (!(error instanceof NotReached || error instanceof Busy)) throw error;
    const own = this.#backOff.next() * 1000;
    const asked = error instanceof Busy ? Math.max(error.retryAfter ?? own, 1000) : own;
    const now = this.#clock.now();
    this.#failingSince ??= now;
    if (now - this.#failingSince + asked > PATIENCE) throw giveUp(error);
    this.#output.note({ code: "connecting-in", seconds: Math.ceil(asked / 1000), error: messageOf(error) });
    await this.#clock.pause(asked, signal);
  }
}
