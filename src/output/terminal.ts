import { bytes, duration, printable } from "./describe.ts";
import type { Failure } from "./errors.ts";
import type { Output, Progress } from "./output.ts";

export interface TerminalOptions {
  quiet: boolean;
  verbose: boolean;
  /** Draw a line that changes (on a terminal) or print one now and then (elsewhere). */
  progress: boolean;
}

/** What people read goes here: stderr, because stdout belongs to the tunnel. */
interface Screen {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
}

/** ms between two drawings of the progress line on a terminal. */
const REDRAW = 100;
/** ms between two progress lines in a log. */
const LOG_EVERY = 3_000;
const CLEAR_LINE = "\r\u001b[2K";

/** Prints for people. Progress is one line that is drawn over on a terminal, and a line every 3 s elsewhere. */
export class Terminal implements Output {
  readonly #options: TerminalOptions;
  readonly #screen: Screen;
  readonly #now: () => number;
  #drawn = false;
  #last: { stage: string; at: number; line: string } | undefined;
  #stageStart: { at: number; bytes: number } = { at: 0, bytes: 0 };

  constructor(options: TerminalOptions, screen: Screen = process.stderr, now: () => number = () => performance.now()) {
    this.#options = options;
    this.#screen = screen;
    this.#now = now;
  }

  progress(progress: Progress): void {
    if (this.#options.quiet || !this.#options.progress) return;
    const now = this.#now();
    const newStage = this.#last?.stage !== progress.stage;
    if (newStage) this.#stageStart = { at: now, bytes: progress.current };
    const every = this.#screen.isTTY ? REDRAW : LOG_EVERY;
    if (!newStage && now - (this.#last?.at ?? 0) < every) return;
    const line = printable(progressLine(progress, this.#rate(progress, now)));
    this.#last = { stage: progress.stage, at: now, line };
    this.#draw();
  }

  #rate(progress: Progress, now: number): number | undefined {
    const ms = now - this.#stageStart.at;
    return ms < 500 ? undefined : ((progress.current - this.#stageStart.bytes) / ms) * 1000;
  }

  #draw(): void {
    if (this.#last === undefined) return;
    if (!this.#screen.isTTY) return void this.#screen.write(`${this.#last.line}\n`);
    const width = (this.#screen.columns ?? 80) - 1;
    this.#screen.write(`${CLEAR_LINE}${this.#last.line.slice(0, width)}`);
    this.#drawn = true;
  }

  /** A line that stays, above the progress line. */
  #print(text: string): void {
    if (this.#drawn) this.#screen.write(CLEAR_LINE);
    // Whatever it is, some of it may be the far end's words.
    this.#screen.write(`${printable(text)}\n`);
    if (!this.#drawn) return;
    this.#drawn = false;
    this.#draw();
  }

  detail(text: string): void {
    if (this.#options.verbose) this.#print(`docker-over-ssh: ${(this.#now() / 1000).toFixed(2)} s: ${text}`);
  }

  note(text: string): void {
    if (!this.#options.quiet) this.#print(`docker-over-ssh: ${text}`);
  }

  warn(text: string): void {
    this.#print(`docker-over-ssh: warning: ${text}`);
  }

  far(line: string): void {
    this.#print(`far: ${line}`);
  }

  summary(text: string): void {
    this.close();
    if (!this.#options.quiet) this.#print(text);
  }

  failure(failure: Failure, whose: "here" | "far"): void {
    this.close();
    const { message, expected, hint } = failure;
    this.#print(whose === "far" ? `docker-over-ssh: the far end failed: ${message}` : `docker-over-ssh: ${message}`);
    if (expected) this.#print(`  expected: ${expected}`);
    if (hint) this.#print(`  to do:    ${hint}`);
  }

  close(): void {
    if (this.#drawn) this.#screen.write(CLEAR_LINE);
    this.#drawn = false;
    this.#last = undefined;
  }
}

/** e.g. `sending  41.2 MB of 101 MB  12.1 MB/s  eta 5.0 s  3 of 5 layers`. Rate in bytes a second. */
function progressLine({ stage, current, total, layers }: Progress, rate: number | undefined): string {
  const parts = [stage];
  if (current > 0 || (total ?? 0) > 0)
    parts.push(total === undefined ? bytes(current) : `${bytes(current)} of ${bytes(total)}`);
  if (rate !== undefined && rate > 0) {
    parts.push(`${bytes(rate)}/s`);
    if (total !== undefined && total > current) parts.push(`eta ${duration(((total - current) / rate) * 1000)}`);
  }
  if (layers !== undefined && layers.total > 0) parts.push(`${layers.done} of ${layers.total} layers`);
  return parts.join("  ");
}
