import type { BuildDisplay, BuildOutputEvent } from "../output/build-events.ts";
import { LiveArea, type Screen } from "../output/live-area.ts";
import { BuildSteps } from "./build-steps.ts";
import { failureLines } from "./failed-step.ts";
import type { LogOptions } from "./plain-log.ts";
import { safeLine } from "./safe-line.ts";
import { warningLines } from "./step-texts.ts";
import { terminalLines } from "./terminal-lines.ts";

/** ms between two drawings while events arrive, and while none do: the times of steps change all the time. */
const REDRAW = 100;
const TICK = 250;

/** Draws the steps of a build on a terminal, the running ones with the last lines of their log. */
export class TerminalLog implements BuildDisplay {
  readonly #options: LogOptions;
  readonly #steps: BuildSteps;
  readonly #area: LiveArea;
  readonly #ticks: NodeJS.Timeout;
  #drawnAt = -Infinity;
  #isFinished = false;

  constructor(screen: Screen, options: LogOptions) {
    this.#options = options;
    this.#steps = new BuildSteps(options.now);
    this.#area = new LiveArea(screen);
    this.#ticks = setInterval(() => this.tick(), TICK).unref();
    screen.on?.("resize", () => this.#area.isDrawn && this.#draw());
  }

  event(event: BuildOutputEvent): void {
    if (this.#isFinished) return;
    const { text = [] } = this.#steps.take(event);
    if (text.length > 0) this.above(() => this.#write(text.map((line) => safeLine(line, this.#options.keepsColours))));
    if (this.#options.now() - this.#drawnAt >= REDRAW) this.#draw();
  }

  above(print: () => void): void {
    const { isDrawn } = this.#area;
    this.#area.clear();
    print();
    if (isDrawn) this.#draw();
  }

  tick(): void {
    if (!this.#isFinished) this.#draw();
  }

  finish(outcome: "built" | "failed" | "stopped"): void {
    if (this.#isFinished) return;
    this.#isFinished = true;
    clearInterval(this.#ticks);
    this.#area.clear();
    const { keepsColours } = this.#options;
    for (const { text = [] } of this.#steps.end()) this.#write(text.map((line) => safeLine(line, keepsColours)));
    if (this.#steps.started.length > 0) this.#write(this.#lines({ outcome }));
    if (outcome === "failed") this.#write(failureLines(this.#steps, keepsColours));
    else this.#write(warningLines(this.#steps.warnings));
  }

  #draw(): void {
    if (this.#steps.started.length === 0) return;
    this.#drawnAt = this.#options.now();
    this.#area.draw(this.#lines({ rows: this.#area.rows }));
  }

  #lines(options: { outcome?: "built" | "failed" | "stopped"; rows?: number }): string[] {
    return terminalLines(this.#steps, {
      ...options,
      columns: this.#area.columns,
      hasColours: this.#options.keepsColours,
    });
  }

  #write(lines: readonly string[]): void {
    if (lines.length > 0) this.#options.write(`${lines.join("\n")}\n`);
  }
}
