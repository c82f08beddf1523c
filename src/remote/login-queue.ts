import { closeSync, openSync } from "node:fs";
import type { TransferEvent } from "../output/events.ts";
import { outputTo, type Output } from "../output/output.ts";
import { deferred } from "../streams/deferred.ts";
import { memoize } from "../streams/memoize.ts";

/**
 * Lets one login after the other ask on the terminal: the questions of several would mix, and two programs would read one answer. Without a
 * terminal nothing can ask, and logins run at the same time.
 */
export class LoginQueue {
  #last = Promise.resolve();
  readonly #mayAsk = memoize(async () => hasTerminal());

  /** Runs `use` when no other login may ask. Its login is over when the remote side answers, or `use` ends. */
  async run<T>(output: Output, use: (watched: Output) => Promise<T>): Promise<T> {
    const over = deferred<void>();
    const before = this.#last;
    if (await this.#mayAsk()) {
      this.#last = over.promise;
      await before;
    }
    const watched = outputTo((event) => {
      output.event(event);
      if (hasAnswered(event)) over.resolve();
    });
    return await use(watched).finally(over.resolve);
  }
}

function hasAnswered(event: TransferEvent): boolean {
  return event.type === "plan" || (event.type === "detail" && event.code === "tunnel-opened");
}

/** Whether this process has a terminal, on which ssh asks even when stdin and stderr are none. */
function hasTerminal(): boolean {
  try {
    closeSync(openSync("/dev/tty", "r"));
    return true;
  } catch {
    return false;
  }
}
