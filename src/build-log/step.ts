import type { BuildLogText, BuildProgress, BuildStep } from "../output/build-events.ts";
import { oneLine } from "../output/describe.ts";
import { LineJoiner } from "./line-joiner.ts";

/** Characters of a name that are kept. */
const MAX_NAME = 4_096;
/** Items of progress of a step, and runs of it, that are kept. BuildKit may run a step more than once. */
const MAX_ITEMS = 1_000;

/** A line that a step has printed. */
export interface StepLine {
  /** ms since the step began */
  ms: number;
  text: string;
}

/** What is known of a step. */
export class Step {
  /** From 1 on, in the order in which the steps begin; 0 for one that has not begun. */
  number = 0;
  name = "";
  isCached = false;
  error: string | undefined;
  readonly progress = new Map<string, BuildProgress>();
  /** The last lines of it, the newest last; {@link BuildSteps} bounds them. */
  readonly lines: StepLine[] = [];
  /** Lines that are kept no longer */
  dropped = 0;
  readonly #joiners = { stdout: new LineJoiner(), stderr: new LineJoiner() };
  /** When it began, and when it ended, ms on the builder's clock. */
  readonly #runs = new Map<number, number | undefined>();

  /** Takes over all that is known of the step. */
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

  /** Takes text, and returns the lines that are complete with it. @param now on the builder's clock */
  print({ stream, text, at }: BuildLogText, now: number): StepLine[] {
    const ms = this.#msSinceStart(at ?? now);
    return this.#joiners[stream].add(text).map((line) => ({ ms, text: line }));
  }

  /** Ends the lines that have begun. */
  endLines(now: number): StepLine[] {
    const ms = this.#msSinceStart(now);
    return Object.values(this.#joiners).flatMap((joiner) => joiner.end().map((text) => ({ ms, text })));
  }

  /** The lines that are not complete yet. */
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

  /** The builder stopped it because the build ended. */
  get isCancelled(): boolean {
    return this.error?.trim().endsWith("context canceled") === true;
  }

  get hasFailed(): boolean {
    return this.error !== undefined && this.error !== "" && !this.isCancelled;
  }

  /** How long it has run, ms. @param now on the builder's clock */
  ms(now: number): number {
    const durations = [...this.#runs].map(([started, completed = now]) => Math.max(0, completed - started));
    return durations.reduce((sum, one) => sum + one, 0);
  }

  #msSinceStart(now: number): number {
    const last = [...this.#runs.keys()].at(-1);
    return last === undefined ? 0 : Math.max(0, now - last);
  }
}
