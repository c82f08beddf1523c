import type { BuildDisplay, BuildOutputEvent, BuildProgress } from "../output/build-events.ts";
import { oneLine } from "../output/describe.ts";
import { BuildSteps } from "./build-steps.ts";
import { failureLines } from "./failed-step.ts";
import { safeLine } from "./safe-line.ts";
import { amount, lineSeconds, seconds, warningLines } from "./step-texts.ts";
import type { Step, StepLine } from "./step.ts";

/** ms between two lines of one download. */
const PROGRESS_EVERY = 5_000;
/** A step blocks the lines of the others until it has printed nothing for MAX_SILENCE ms, or has had the turn for MAX_TURN ms. */
const MAX_SILENCE = 1_000;
const MAX_TURN = 5_000;
/** Lines that a step may buffer. */
const MAX_HELD = 1_000;
/** Lines of a failed step that are printed again at the end. */
const LAST_LINES = 10;
const TICK = 500;

export interface LogOptions {
  write: (text: string) => void;
  /** ms since 1970 */
  now: () => number;
  /** Keeps the colours in the output of steps. */
  keepsColours: boolean;
}

/** The state of a step in the log. */
interface Logged {
  /** Lines that wait until it is the step's turn */
  held: string[];
  /** The time of the last printed line of each download, by its ID */
  printedAt: Map<string, number>;
  isOver: boolean;
}

/**
 * Prints the events of a build as lines, as `docker build --progress plain` does: `#5 [2/4] RUN make`, `#5 0.312 text`, `#5 DONE 0.4s`.
 * Lines of one step stay together for some seconds while other steps run.
 */
export class PlainLog implements BuildDisplay {
  readonly #options: LogOptions;
  readonly #steps: BuildSteps;
  readonly #logged = new Map<Step, Logged>();
  readonly #ticks: NodeJS.Timeout;
  /** The step whose turn it is: its lines are printed at once */
  #current: Step | undefined;
  #currentSince = 0;
  #printedAt = 0;
  #isFirst = true;
  #isFinished = false;

  constructor(options: LogOptions) {
    this.#options = options;
    this.#steps = new BuildSteps(options.now);
    this.#ticks = setInterval(() => this.tick(), TICK).unref();
  }

  event(event: BuildOutputEvent): void {
    if (this.#isFinished) return;
    const { step, lines = [], text = [] } = this.#steps.take(event);
    for (const line of text) this.#write(safeLine(line, this.#options.keepsColours));
    if (step === undefined || !step.hasStarted) return;
    const logged = this.#logOf(step);
    logged.held.push(...lines.map((line) => this.#logLine(step, line)));
    if (event.type === "build-progress") this.#hold(this.#progressLine(step, logged, event), logged);
    if (event.type === "build-step" && step.isCompleted && !logged.isOver) {
      logged.held.push(`#${step.number} ${this.#outcome(step)}`);
      logged.isOver = true;
      this.#turnTo(step);
      this.#current = undefined;
    } else if (event.type === "build-step" && !step.isCompleted) logged.isOver = false;
    if (this.#current === undefined && !logged.isOver) this.#turnTo(step);
    else if (this.#current === step) this.#flush(step);
    else if (logged.held.length > MAX_HELD) this.#turnTo(step);
    this.tick();
  }

  above(print: () => void): void {
    print();
  }

  /** Passes the turn on if the current step is silent or has had it long enough. */
  tick(): void {
    const now = this.#options.now();
    if (this.#current !== undefined && now - this.#printedAt < MAX_SILENCE && now - this.#currentSince < MAX_TURN)
      return;
    const [waiting] = [...this.#logged].find(([step, { held }]) => step !== this.#current && held.length > 0) ?? [];
    if (waiting === undefined) return;
    this.#turnTo(waiting);
    if (this.#logOf(waiting).isOver) this.#current = undefined;
  }

  finish(outcome: "built" | "failed" | "stopped"): void {
    if (this.#isFinished) return;
    this.#isFinished = true;
    clearInterval(this.#ticks);
    const { keepsColours } = this.#options;
    for (const { step, lines = [], text = [] } of this.#steps.end()) {
      for (const line of text) this.#write(safeLine(line, keepsColours));
      if (step !== undefined) this.#logOf(step).held.push(...lines.map((line) => this.#logLine(step, line)));
    }
    for (const [step, { held }] of this.#logged) if (held.length > 0) this.#turnTo(step);
    if (outcome === "failed") failureLines(this.#steps, keepsColours, LAST_LINES).forEach((line) => this.#write(line));
    else warningLines(this.#steps.warnings).forEach((line) => this.#write(line));
  }

  #logOf(step: Step): Logged {
    const logged = this.#logged.get(step) ?? { held: [], printedAt: new Map(), isOver: false };
    this.#logged.set(step, logged);
    return logged;
  }

  #logLine({ number }: Step, { ms, text }: StepLine): string {
    return `#${number} ${lineSeconds(ms)} ${safeLine(text, this.#options.keepsColours)}`;
  }

  #hold(line: string | undefined, { held }: Logged): void {
    if (line !== undefined) held.push(line);
  }

  /** Returns a line if one is due for a download: every {@link PROGRESS_EVERY} ms, and at its end. */
  #progressLine({ number, progress }: Step, { printedAt }: Logged, event: BuildProgress): string | undefined {
    if (!progress.has(event.id)) return undefined;
    const now = this.#options.now();
    const last = printedAt.get(event.id);
    const isDue = last === undefined || event.completed !== undefined || now - last >= PROGRESS_EVERY;
    if (!isDue || last === Infinity) return undefined;
    printedAt.set(event.id, event.completed === undefined ? now : Infinity);
    const ms = event.started === undefined ? 0 : (event.completed ?? this.#steps.now()) - event.started;
    const parts = [amount(event), ms > 10 ? seconds(ms) : "", event.completed === undefined ? "" : "done"];
    return `#${number} ${[oneLine(event.id), ...parts].filter((part) => part !== "").join(" ")}`;
  }

  #outcome(step: Step): string {
    if (step.isCancelled) return "CANCELED";
    if (step.hasFailed) return `ERROR: ${oneLine(step.error ?? "")}`;
    return step.isCached ? "CACHED" : `DONE ${seconds(step.ms(this.#steps.now()))}`;
  }

  /** Prints the buffered lines of a step. Prints its name first if the previous lines belong to another step. */
  #turnTo(step: Step): void {
    const now = this.#options.now();
    if (this.#current !== step) {
      if (!this.#isFirst) this.#write("");
      this.#write(`#${step.number} ${step.name}`);
      this.#current = step;
      this.#currentSince = now;
    }
    this.#flush(step);
  }

  #flush(step: Step): void {
    const { held } = this.#logOf(step);
    for (const line of held) this.#write(line);
    held.length = 0;
    this.#printedAt = this.#options.now();
  }

  #write(line: string): void {
    this.#isFirst = false;
    this.#options.write(`${line}\n`);
  }
}
