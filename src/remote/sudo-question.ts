import { askPassword } from "../output/ask-password.ts";
import { SUDO_PROMPT } from "./shell-words.ts";

/** sudo asks three times by default. */
const MAX_QUESTIONS = 3;

/** The question of the remote sudo for a password, which is typed once for all commands that share a memory. */
export class SudoQuestion {
  readonly #host: string;
  readonly #memory: { password?: string };
  #left = MAX_QUESTIONS;
  #isAsking = false;
  /** The last answer to this sudo. */
  #given: string | undefined;

  /** @param host for the question on the terminal */
  constructor(host: string, memory: { password?: string }) {
    this.#host = host;
    this.#memory = memory;
  }

  /** Whether a line is the question. After {@link MAX_QUESTIONS} it is a line like any other. */
  isIn(line: string): boolean {
    return this.#left > 0 && line.includes(SUDO_PROMPT);
  }

  /** Passes the password to `send`; asks for it unless it is known. Rejects with a Failure where it cannot be asked. */
  async answer(send: (password: string) => void): Promise<void> {
    if (this.#isAsking) return;
    this.#left -= 1;
    this.#isAsking = true;
    try {
      // Asked once more by the same sudo, the password was wrong.
      const { password } = this.#memory;
      const isWrong = password === undefined || password === this.#given;
      const right = isWrong ? await askPassword(`[sudo] password for the remote side of ${this.#host}: `) : password;
      this.#memory.password = this.#given = right;
      send(right);
    } finally {
      this.#isAsking = false;
    }
  }
}
