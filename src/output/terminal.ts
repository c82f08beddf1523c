import { bytes, duration, oneLine, printable } from "./describe.ts";
import type { ErrorReport } from "./errors.ts";
import type { Progress, Stage, TransferEvent } from "./events.ts";
import type { OutputOptions } from "./output.ts";
import { detailText, noteText, planText, resultText, STAGE_TEXT, warningText } from "./texts.ts";

type TerminalOptions = Omit<OutputOptions, "json">;

/** stderr, because stdout belongs to the tunnel. */
interface Screen {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
}

/** ms between two drawings of the progress line on a terminal. */
const REDRAW = 100;
/** ms between two progress lines in a log. */
const LOG_EVERY = 3_000;
/** Begins the further lines of a text, so that none of them looks like a line of this program. */
const GOES_ON = "  | ";
const CLEAR_LINE = "\r\u001b[2K";

/** Prints events and failures for people. Progress is one line that is redrawn on a terminal, and a line every 3 s elsewhere. */
export class Terminal {
  readonly #options: TerminalOptions;
  readonly #screen: Screen;
  readonly #now: () => number;
  #drawn = false;
  /** A login is going on, which may ask for a password on the terminal. */
  #isLoggingIn = false;
  readonly #stages = new Set<Stage>();
  #last: { stage: Stage; at: number; line: string } | undefined;
  #stageStart: { at: number; bytes: number } = { at: 0, bytes: 0 };

  constructor(options: TerminalOptions, screen: Screen = process.stderr, now: () => number = () => performance.now()) {
    this.#options = options;
    this.#screen = screen;
    this.#now = now;
  }

  /** Prints an event of a transfer. */
  show(event: TransferEvent): void {
    switch (event.type) {
      case "started":
        return;
      case "plan":
        return this.detail(planText(event) ?? "");
      case "progress":
        return this.progress(event);
      case "note":
        return this.note(noteText(event));
      case "warning":
        return this.warn(warningText(event));
      case "detail":
        if (event.code === "command-started") this.#login();
        if (event.code === "command-answered" || event.code === "tunnel-opened") this.#isLoggingIn = false;
        return this.detail(detailText(event));
      case "remote":
        return this.remote(event.line);
      case "error":
        return this.failure(event);
      case "result":
        return this.summary(resultText(event));
    }
  }

  progress(progress: Progress): void {
    if (this.#options.quiet || !this.#options.progress) return;
    const now = this.#now();
    const newStage = this.#last?.stage !== progress.stage;
    if (newStage) this.#stageStart = { at: now, bytes: progress.current };
    const every = this.#screen.isTTY ? REDRAW : LOG_EVERY;
    // A new stage is shown at once. A peer that alternates between stages does not make the line appear more often.
    const isFirst = !this.#stages.has(progress.stage);
    if (!isFirst && now - (this.#last?.at ?? -Infinity) < every) return;
    this.#stages.add(progress.stage);
    const line = progressLine(progress, this.#rate(progress, now));
    this.#last = { stage: progress.stage, at: now, line };
    this.#draw();
  }

  #rate(progress: Progress, now: number): number | undefined {
    const ms = now - this.#stageStart.at;
    return ms < 500 ? undefined : ((progress.current - this.#stageStart.bytes) / ms) * 1000;
  }

  /** Removes the progress line, and draws none until the login is over: it would be written over a question. */
  #login(): void {
    this.#isLoggingIn = true;
    if (this.#drawn) this.#screen.write(CLEAR_LINE);
    this.#drawn = false;
  }

  #draw(): void {
    if (this.#last === undefined || (this.#isLoggingIn && this.#screen.isTTY)) return;
    if (!this.#screen.isTTY) return void this.#screen.write(`${this.#last.line}\n`);
    const width = (this.#screen.columns || 80) - 1; // 0: a pty without a size
    this.#screen.write(`${CLEAR_LINE}${this.#last.line.slice(0, width)}`);
    this.#drawn = true;
  }

  /** Prints text that stays, above the progress line. */
  #print(text: string): void {
    if (this.#drawn) this.#screen.write(CLEAR_LINE);
    // Any text may contain words of the remote side.
    const [first = "", ...others] = printable(text).split("\n");
    this.#screen.write(`${[first, ...others.map((line) => GOES_ON + line)].join("\n")}\n`);
    if (!this.#drawn) return;
    this.#drawn = false;
    this.#draw();
  }

  detail(text: string): void {
    if (this.#options.verbose && text !== "")
      this.#print(`docker-over-ssh: ${(this.#now() / 1000).toFixed(2)} s: ${text}`);
  }

  note(text: string): void {
    if (!this.#options.quiet) this.#print(`docker-over-ssh: ${text}`);
  }

  warn(text: string): void {
    this.#print(`docker-over-ssh: warning: ${text}`);
  }

  remote(line: string): void {
    this.#print(`remote: ${line}`);
  }

  summary(text: string): void {
    this.close();
    if (!this.#options.quiet) this.#print(text);
  }

  /** Prints a failure of this side, or one in the words of the remote side. */
  failure(report: ErrorReport): void {
    this.close();
    const { message, expected, hint } = report.side === "remote" ? eachOnOneLine(report) : report;
    this.#print(`docker-over-ssh: ${report.side === "remote" ? "the remote side failed: " : ""}${message}`);
    if (expected) this.#print(`  expected: ${expected}`);
    if (hint) this.#print(`  to do:    ${hint}`);
  }

  /** Removes the progress line. */
  close(): void {
    if (this.#drawn) this.#screen.write(CLEAR_LINE);
    this.#drawn = false;
    this.#last = undefined;
  }
}

/** The remote side chooses the words, but not the layout. */
function eachOnOneLine({
  message,
  expected = "",
  hint = "",
}: ErrorReport): Record<"message" | "expected" | "hint", string> {
  return { message: oneLine(message), expected: oneLine(expected), hint: oneLine(hint) };
}

/** Formats progress, e.g. `sending  41.2 MB of 101 MB  12.1 MB/s  eta 5.0 s  3 of 5 layers`. Rate in bytes a second. */
function progressLine({ stage, current, total, layers }: Progress, rate: number | undefined): string {
  const parts = [STAGE_TEXT[stage]];
  if (current > 0 || (total ?? 0) > 0)
    parts.push(total === undefined ? bytes(current) : `${bytes(current)} of ${bytes(total)}`);
  if (rate !== undefined && rate > 0) {
    parts.push(`${bytes(rate)}/s`);
    if (total !== undefined && total > current) parts.push(`eta ${duration(((total - current) / rate) * 1000)}`);
  }
  if (layers !== undefined && layers.total > 0) parts.push(`${layers.done} of ${layers.total} layers`);
  return parts.join("  ");
}
