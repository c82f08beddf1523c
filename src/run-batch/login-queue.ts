import { closeSync, openSync } from "node:fs";
import type { TransferEvent } from "../output/events.ts";
import { outputTo, type Output } from "../output/output.ts";
import type { Context } from "../transfer.ts";
import { deferred, type Deferred } from "../streams/deferred.ts";
import { memoize } from "../streams/memoize.ts";

/**
 * Lets logins ask on the terminal one after the other, because otherwise their questions would mix, and two programs would read one answer.
 * Without a terminal no login can ask, and logins run at the same time.
 */
export class LoginQueue {
  #last = Promise.resolve();
  readonly #mayPrompt: () => Promise<boolean>;

  /** @param mayPrompt whether a login can ask. Default: whether this process has a terminal */
  constructor(mayPrompt: () => boolean = hasTerminal) {
    this.#mayPrompt = memoize(async () => mayPrompt());
  }

  /**
   * Runs `use`, whose logins wait for their turn in `login`: the first one, and those of a further connection or of --run. A turn ends when
   * an event shows that the remote side has answered, when `login`'s result is called, when `use` ends, or when `use` waits (--watch). A
   * login within a turn does not wait.
   */
  async run<T>(output: Output, use: (own: Required<Pick<Context, "output" | "login">>) => Promise<T>): Promise<T> {
    let turn: Deferred<void> | undefined;
    const leave = (): void => {
      turn?.resolve();
      turn = undefined;
    };
    const login = async (): Promise<() => void> => {
      if (turn === undefined && (await this.#mayPrompt())) {
        const [before, own] = [this.#last, deferred<void>()];
        this.#last = own.promise;
        turn = own;
        await before;
      }
      return leave;
    };
    const watched = outputTo((event) => {
      output.event(event);
      if (hasAnswered(event) || isWaiting(event)) leave();
    });
    return await use({ output: watched, login }).finally(leave);
  }
}

function hasAnswered(event: TransferEvent): boolean {
  return event.type === "plan" || (event.type === "detail" && event.code === "tunnel-opened");
}

/**
 * Returns whether an event shows that a watch asks no questions now: its link is open, also after a transfer that failed early, or its
 * login has failed.
 */
function isWaiting(event: TransferEvent): boolean {
  return event.type === "note" && (event.code === "watching" || event.code === "connecting-in");
}

/** Returns whether this process has a terminal, on which ssh asks even if stdin and stderr are not terminals. */
function hasTerminal(): boolean {
  try {
    closeSync(openSync("/dev/tty", "r"));
    return true;
  } catch {
    return false;
  }
}
