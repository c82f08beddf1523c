import type { BuildDisplay, BuildOutputEvent } from "../output/build-events.ts";
import { BuildSteps } from "./build-steps.ts";
import { failureLines } from "./failed-step.ts";
import type { LogOptions } from "./plain-log.ts";

/** Prints nothing, except why a build has failed. */
export class QuietLog implements BuildDisplay {
  readonly #options: LogOptions;
  readonly #steps: BuildSteps;
  #isFinished = false;

  constructor(options: LogOptions) {
    this.#options = options;
    this.#steps = new BuildSteps(options.now);
  }

  event(event: BuildOutputEvent): void {
    if (!this.#isFinished) this.#steps.take(event);
  }

  above(print: () => void): void {
    print();
  }

  finish(outcome: "built" | "failed" | "stopped"): void {
    if (this.#isFinished) return;
    this.#isFinished = true;
    this.#steps.end();
    if (outcome !== "failed") return;
    for (const line of failureLines(this.#steps, this.#options.keepsColours)) this.#options.write(`${line}\n`);
  }
}
