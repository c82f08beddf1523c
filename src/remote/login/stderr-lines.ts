import type { Output } from "../../output/output.ts";

/** Number of lines that are remembered, because they may contain the reason of a failure. */
const MAX_LAST_LINES = 5;
/** Maximum number of lines that are held back for one program. */
const MAX_HELD = 100;

/** The lines that a remote command writes to its stderr. Lines of a program that may be skipped are held back. */
export class StderrLines {
  readonly #output: Output;
  readonly #last: string[] = [];
  #held: string[] | undefined;

  constructor(output: Output) {
    this.#output = output;
  }

  add(line: string): void {
    this.remember(line);
    if (this.#held === undefined) this.#output.event({ type: "remote", line });
    else if (this.#held.length < MAX_HELD) this.#held.push(line);
  }

  /** Remembers a line without showing it. */
  remember(line: string): void {
    this.#last.push(line);
    if (this.#last.length > MAX_LAST_LINES) this.#last.shift();
  }

  /** Returns the last lines, including those that are held back. */
  last(): string {
    return this.#last.join("\n");
  }

  hold(): void {
    this.#held ??= [];
  }

  /** Shows the held lines as lines of the remote command, or of a program that was skipped. */
  release(as: "remote" | "skipped"): void {
    for (const line of this.#held ?? [])
      this.#output.event(
        as === "remote" ? { type: "remote", line } : { type: "detail", code: "passed-over-line", line },
      );
    this.#held = undefined;
  }
}
