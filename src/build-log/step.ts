import type { BuildLogText, BuildProgress, BuildStep } from "../output/build-events.ts";
import { oneLine } from "../output/describe.ts";
import { LineJoiner } from "./line-joiner.ts";

/** Characters of a stored name. */
const MAX_NAME = 4_096;
/** Limit on the stored progress items of a step, and on its runs. BuildKit may run a step more than once. */
const MAX_ITEMS = 1_000;

/** A line that a step has printed. */
export interface StepLine {
  /** ms since the step began */
  ms: number;
  text: string;
}

/** The state of a step. */
export class Step {
  /** Counts from 1, in the order in which the steps begin. 0 for a step that has not begun. */
  number = 0;
  name = "";
  isCached = false;
  error: string | undefined;
  readonly progress = new Map<string, BuildProgress>();
  /** Its last lines, newest last. {@link BuildSteps} limits them. */
  readonly lines: StepLine[] = [];
  /** The number of lines that have been dropped */
  dropped = 0;
  readonly #joiners = { stdout: new LineJoiner(), stderr: new LineJoiner() };
  /** The start and the end of each run, in ms on the builder's clock. */
  readonly #runs = new Map<number, number | undefined>();

  /** Updates all properties of the step. */
  update({ name, started, completed, isCached = false, error }: BuildStep): void {
    this.name = oneLine(name.slice(0, MAX_NAME));
    this.isCached = isCached;
    this.error = error;
    if (started !== undefined && (this.#runs.has(started) || this.#runs.size < MAX_ITEMS))
      this.#runs.set(started, completed);
  }

  setProgress(progress: BuildProgress): void {
    if (this.progress.has(progress.id) || this.progress.size < MAX_ITEMS) this.progress.set(progress.id, progress);
  }

  /** Adds text, and returns the lines that it completes. @param now on the builder's clock */
  print({ stream, text, at }: BuildLogText, now: number): StepLine[] {
    const ms = this.#msSinceStart(at ?? now);
    return this.#joiners[stream].add(text).map((line) => ({ ms, text: line }));
  }

  /** Completes the partial lines, and returns them. */
  endLines(now: number): StepLine[] {
    const ms = this.#msSinceStart(now);
    return Object.values(this.#joiners).flatMap((joiner) => joiner.end().map((text) => ({ ms, text })));
  }

  /** The partial lines. */
  get partialLines(): string[] {
    return Object.values(this.#joiners)
      .map(({ partial }) => partial)
      .filter((line) => line !== "");
  }

  get hasStarted(): boolean {
    return this.#runs.size > 0;
  }

  get isCompleted(): boolean {
    return this.hasStarted && ![...this.#runs.values()].includes(undefined);
  }

  /** Whether the builder has cancelled the step because the build ended. */
  get isCancelled(): boolean {
    return this.error?.trim().endsWith("context canceled") === true;
  }

  get hasFailed(): boolean {
    return this.error !== undefined && this.error !== "" && !this.isCancelled;
  }

  /** Returns how long the step has run, in ms. @param now on the builder's clock */
  ms(now: number): number {
    const durations = [...this.#runs].map(([started, completed = now]) => Math.max(0, completed - started));
    return durations.reduce((sum, duration) => sum + duration, 0);
  }

  #msSinceStart(now: number): number {
    const last = [...this.#runs.keys()].at(-1);
    return last === undefined ? 0 : Math.max(0, now - last);
  }
}
