import { buildOutputEvent, PlainLog, oneLine, type BuildEvent } from "docker-over-ssh/builds";
import type { JobReason } from "../jobs/job.ts";
import type { Masks } from "./masks.ts";

/** Before the last lines of a failed step in a hint. The log has them anyway. */
const LAST_LINES = / Its last lines:\n[\s\S]*$/;

/** The log of a job: the lines of the build as `docker build --progress plain` prints them, with colours, and lines of the server around them. */
export class JobLog {
  readonly #write: (lines: readonly string[]) => void;
  readonly #masks: Masks;
  readonly #build: PlainLog;
  /** Characters that the log may still take */
  #left: number;

  /** @param maxLog bytes of the log in the store */
  constructor(write: (lines: readonly string[]) => void, masks: Masks, maxLog = Infinity) {
    this.#write = write;
    this.#masks = masks;
    this.#left = maxLog;
    this.#build = new PlainLog({ write: (text) => this.#lines(text), now: Date.now, keepsColours: true });
  }

  /** Adds a line of the server. */
  say(text: string): void {
    this.#lines(`${oneLine(text)}\n`);
  }

  event(event: BuildEvent): void {
    // The store has cut the log: a step that prints on and on must not keep the server busy, which answers others meanwhile.
    if (this.#left < 0 && (event.type === "build-text" || event.type === "step-log")) return;
    this.#build.event(buildOutputEvent(event));
  }

  /** Ends the lines of the build. Again, it does nothing. */
  endBuild(outcome: "built" | "failed" | "stopped"): void {
    this.#build.finish(outcome);
  }

  /** Says why the job has ended. */
  reason({ message, expected, hint }: JobReason): void {
    this.say(`error: ${message}`);
    if (expected !== undefined) this.say(`expected: ${expected}`);
    if (hint !== undefined) this.say(`hint: ${hint.replace(LAST_LINES, "")}`);
  }

  #lines(text: string): void {
    this.#left -= text.length;
    const lines = text.endsWith("\n") ? text.slice(0, -1) : text;
    this.#write(lines.split("\n").map((line) => this.#masks.hide(line)));
  }
}
