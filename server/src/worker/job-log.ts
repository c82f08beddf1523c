import { buildOutputEvent, PlainLog, oneLine, type BuildEvent } from "docker-over-ssh/builds";
import type { JobReason } from "../jobs/job.ts";
import type { Masks } from "./masks.ts";

/** Precedes the last lines of a failed step in a hint. The log already contains them. */
const LAST_LINES = / Its last lines:\n[\s\S]*$/;

/**
 * The log of a job: the output of the build in the format of `docker build --progress plain`, with colours, and lines
 * of the server.
 */
export class JobLog {
  readonly #write: (lines: readonly string[]) => void;
  readonly #masks: Masks;
  readonly #build: PlainLog;
  /** Remaining characters of the log */
  #left: number;

  /** @param maxLog maximum bytes of the log in the store */
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
    // The store has cut the log: a step with endless output must not keep the server busy, which also serves other
    // clients.
    if (this.#left < 0 && (event.type === "build-text" || event.type === "step-log")) return;
    this.#build.event(buildOutputEvent(event));
  }

  /** Ends the output of the build. Repeated calls have no effect. */
  endBuild(outcome: "built" | "failed" | "stopped"): void {
    this.#build.finish(outcome);
  }

  /** Logs the reason for the end of the job. */
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
