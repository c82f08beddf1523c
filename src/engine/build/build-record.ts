import { oneLine, printable } from "../../output/describe.ts";
import type { BuildEvent } from "../engine-builder.ts";

/** Lines of a failed step that the message contains. */
const MAX_LINES = 10;
/** Characters of a step's stored output. */
const MAX_STORED = 4_000;
/** The maximum number of steps with stored output. Steps that have succeeded are removed. */
const MAX_STEPS = 1_000;
/** The classic builder's `Step 2/4 : RUN make`, and buildah's `STEP 2/4: RUN make` */
const STEP = /^(?:\[[\d/]+\] )?step (\d+\/\d+) ?: (.*)$/i;

/** Matches the classic builder's own lines in the output of a step */
const BUILDER_LINE = /^(?: ---> |Remov(?:ed|ing) intermediate container )/;

export interface FailedStep {
  /** e.g. `[build 3/5] RUN make` */
  name: string;
  error?: string | undefined;
  /** The last lines of its output */
  lines: readonly string[];
}

/** Records enough of a build to report where it failed, in bounded memory. */
export class BuildRecord {
  readonly #steps = new Map<string, { name: string; error?: string | undefined; log: string }>();
  #lastText: { name: string; log: string } | undefined;
  #failed: string | undefined;

  take(event: BuildEvent): void {
    if (event.type === "step") this.#update(event);
    else if (event.type === "step-log") {
      const step = this.#steps.get(event.step);
      if (step !== undefined) step.log = (step.log + event.text).slice(-MAX_STORED);
    } else if (event.type === "build-text") this.#takeText(event.text);
  }

  get failed(): FailedStep | undefined {
    const step = this.#failed === undefined ? this.#lastText : this.#steps.get(this.#failed);
    if (step === undefined) return undefined;
    return {
      name: oneLine(step.name).slice(0, MAX_STORED),
      error: "error" in step ? (step.error as string) : undefined,
      lines: lastLines(step.log),
    };
  }

  #update({ step, name, completed, error = "" }: Extract<BuildEvent, { type: "step" }>): void {
    // When a step fails, BuildKit cancels all others.
    const hasFailed = error !== "" && !/context canceled\s*$/.test(error);
    if (hasFailed) this.#failed = step;
    const known = this.#steps.get(step);
    if (completed !== undefined && !hasFailed) this.#steps.delete(step);
    else if (known !== undefined) Object.assign(known, { name, error });
    else if (this.#steps.size < MAX_STEPS || hasFailed) this.#steps.set(step, { name, error, log: "" });
  }

  #takeText(text: string): void {
    for (const line of text.split(/(?<=\n)/)) {
      const [, number, instruction = ""] = STEP.exec(line.trimEnd()) ?? [];
      if (number !== undefined) this.#lastText = { name: `[${number}] ${instruction}`, log: "" };
      else if (this.#lastText !== undefined) this.#lastText.log = (this.#lastText.log + line).slice(-MAX_STORED);
    }
  }
}

function lastLines(log: string): string[] {
  const lines = printable(log.replaceAll(/\r\n?/g, "\n")).split("\n");
  return lines.filter((line) => line.trim() !== "" && !BUILDER_LINE.test(line)).slice(-MAX_LINES);
}
