import type { BuildOutputEvent, BuildSource, BuildStep, BuildWarning } from "../output/build-events.ts";
import { LineJoiner } from "./line-joiner.ts";
import { Step, type StepLine } from "./step.ts";

/** Limits on the steps and the warnings of a build: a builder may be hostile. */
const MAX_STEPS = 10_000;
const MAX_WARNINGS = 100;
/** Limit on the progress items, such as downloads, of all steps that have not ended. */
const MAX_ITEMS = 20_000;
/** Characters of the stored lines of all steps. The lines of a step are shown if it fails. */
const MAX_STORED = 4_000_000;

/** The changes that an event has caused. */
export interface News {
  /** The step that has changed */
  step?: Step;
  /** Complete lines that the step has printed */
  lines?: readonly StepLine[];
  /** Complete lines of a builder without steps */
  text?: readonly string[];
}

/** Collects the events of a build, with bounded memory. */
export class BuildSteps {
  /** The steps that have begun, in that order */
  readonly started: Step[] = [];
  readonly warnings: BuildWarning[] = [];
  source: BuildSource | undefined;
  readonly #now: () => number;
  readonly #steps = new Map<string, Step>();
  readonly #text = new LineJoiner();
  /** How far this clock is ahead of the builder's, in ms. Undefined until a step has started. */
  #ahead: number | undefined;
  #stored = 0;
  #items = 0;
  /** The time of the first event */
  #since: number | undefined;

  /** @param now ms since 1970 */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Returns the time on the builder's clock. */
  now(): number {
    return this.#now() - (this.#ahead ?? 0);
  }

  /** ms since the first event */
  get msSinceStart(): number {
    return this.#now() - (this.#since ?? this.#now());
  }

  /** The number of known steps, begun or not. */
  get count(): number {
    return this.#steps.size;
  }

  take(event: BuildOutputEvent): News {
    this.#since ??= this.#now();
    switch (event.type) {
      case "build-step":
        return this.#update(event);
      case "build-progress": {
        const step = this.#steps.get(event.step);
        if (step === undefined) return {};
        if (this.#items < MAX_ITEMS || step.progress.has(event.id)) {
          const before = step.progress.size;
          step.setProgress(event);
          this.#items += step.progress.size - before;
        }
        return { step };
      }
      case "build-log": {
        const step = this.#steps.get(event.step);
        if (step === undefined) return {};
        const lines = step.print(event, this.now());
        this.#store(step, lines);
        return { step, lines };
      }
      case "build-text":
        return { text: this.#text.add(event.text) };
      case "build-warning":
        if (this.warnings.length < MAX_WARNINGS) this.warnings.push(event);
        return {};
      case "build-source":
        this.source = event;
        return {};
      case "build-done":
      case "built":
        return {};
    }
  }

  /** Completes all partial lines. Called when the build is over. */
  end(): News[] {
    const ofSteps = this.started.map((step) => this.#endLines(step)).filter(({ lines }) => lines.length > 0);
    return [...ofSteps, { text: this.#text.end() }];
  }

  #update(event: BuildStep): News {
    const known = this.#steps.get(event.step);
    if (known === undefined && this.#steps.size >= MAX_STEPS) return {};
    const step = known ?? new Step();
    this.#steps.set(event.step, step);
    if (event.started !== undefined) this.#ahead ??= this.#now() - event.started;
    step.update(event);
    if (step.hasStarted && step.number === 0) step.number = this.started.push(step);
    if (!step.isCompleted) return { step };
    const news = this.#endLines(step);
    if (!step.hasFailed) this.#forget(step);
    return news;
  }

  #endLines(step: Step): { step: Step; lines: readonly StepLine[] } {
    const lines = step.endLines(this.now());
    this.#store(step, lines);
    return { step, lines };
  }

  #store(step: Step, lines: readonly StepLine[]): void {
    for (const line of lines) {
      step.lines.push(line);
      this.#stored += line.text.length + 1;
      while (this.#stored > MAX_STORED && step.lines.length > 0) {
        this.#stored -= (step.lines.shift()?.text.length ?? 0) + 1;
        step.dropped += 1;
      }
    }
  }

  /** Frees the lines and downloads of a step that has succeeded. */
  #forget(step: Step): void {
    this.#items -= step.progress.size;
    step.progress.clear();
    for (const { text } of step.lines) this.#stored -= text.length + 1;
    step.lines.length = 0;
    step.dropped = 0;
  }
}
