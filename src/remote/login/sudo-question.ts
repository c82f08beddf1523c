import { askPassword } from "../../output/ask-password.ts";
import { SUDO_PROMPT } from "../script/shell-words.ts";

/** sudo asks three times by default. */
const MAX_QUESTIONS = 3;

/** The password question of the remote sudo. The password is typed once for all commands that share a memory. */
export class SudoQuestion {
  readonly #host: string;
  readonly #memory: { password?: string } | undefined;
  readonly #signal: AbortSignal;
  readonly #watchers = new Set<(isOpen: boolean) => void>();
  #left = MAX_QUESTIONS;
  #isAsking = false;
  /** The last answer to this sudo. */
  #given: string | undefined;

  /**
   * @param host name for the question on the terminal
   * @param memory if undefined, sudo does not run on the remote side, and no line is its question
   * @param signal withdraws the question from the terminal
   */
  constructor(host: string, memory: { password?: string } | undefined, signal: AbortSignal) {
    this.#host = host;
    this.#memory = memory;
    this.#signal = signal;
  }

  /** Calls `watcher` at once, and at each change, with whether the question is open. */
  watch(watcher: (isOpen: boolean) => void): Disposable {
    this.#watchers.add(watcher);
    watcher(this.#isAsking);
    return { [Symbol.dispose]: () => void this.#watchers.delete(watcher) };
  }

  /** Returns whether a line is the question. After {@link MAX_QUESTIONS} questions it is an ordinary line. */
  isIn(line: string): boolean {
    return this.#memory !== undefined && this.#left > 0 && line.includes(SUDO_PROMPT);
  }

  /** Passes the password to `send`; asks a person for it unless it is known. Rejects with a Failure if nobody can be asked. */
  async answer(send: (password: string) => void): Promise<void> {
    const memory = this.#memory;
    if (memory === undefined || this.#isAsking) return;
    this.#left -= 1;
    this.#setAsking(true);
    try {
      // If the same sudo asks again, the password was wrong.
      const { password } = memory;
      const isWrong = password === undefined || password === this.#given;
      const right = isWrong ? await this.#ask() : password;
      memory.password = this.#given = right;
      send(right);
    } finally {
      this.#setAsking(false);
    }
  }

  async #ask(): Promise<string> {
    return await askPassword(`[sudo] password for the remote side of ${this.#host}: `, this.#signal);
  }

  #setAsking(isAsking: boolean): void {
    this.#isAsking = isAsking;
    for (const watcher of this.#watchers) watcher(isAsking);
  }
}
