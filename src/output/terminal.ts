import type { BuildDisplay, BuildOutputEvent } from "./build-events.ts";
import { oneLine, printable } from "./describe.ts";
import type { ErrorReport } from "./errors.ts";
import type { Progress, TransferEvent, TransferName } from "./events.ts";
import { findingLines } from "./finding-lines.ts";
import type { Screen } from "./live-area.ts";
import type { OutputOptions } from "./output.ts";
import { OutcomeTable } from "./outcome-table.ts";
import { ProgressDisplay } from "./progress-display.ts";
import { detailText } from "./detail-texts.ts";
import { builtText, noteText, planText, resultText, warningText } from "./texts.ts";
import { dryRunLines } from "./plan-text.ts";

interface TerminalOptions extends Omit<OutputOptions, "json"> {
  /** Each line names its host, because there are several. */
  namesHosts?: boolean;
  /** The command ends only when it is stopped (--watch): it collects no table for its end, and prints a repeated failure again. */
  isEndless?: boolean;
  /** Shows the events of a build. Undefined for commands that build nothing. */
  buildDisplay?: BuildDisplay | undefined;
}

/** Prefix of the second and later lines of a text, so that none of them looks like a line of this program. */
const CONTINUATION = "  | ";

/** Prints events and failures for people. */
export class Terminal {
  readonly #options: TerminalOptions;
  readonly #screen: Screen;
  readonly #now: () => number;
  readonly #progress: ProgressDisplay;
  readonly #outcomes = new OutcomeTable();
  /** Failures that were printed. If several transfers fail for the same reason, the reason is printed once. */
  readonly #failures = new Set<string>();
  #building: "not-begun" | "running" | "over" = "not-begun";

  constructor(
    options: TerminalOptions,
    screen: Screen = process.stderr,
    now: () => number = () => performance.now(),
    term: string | undefined = process.env["TERM"],
  ) {
    this.#options = options;
    this.#screen = screen;
    this.#now = now;
    this.#progress = new ProgressDisplay(screen, now, term, options.namesHosts);
  }

  /** Prints an event of a transfer. */
  show(event: TransferEvent): void {
    const { transfer } = event;
    const host = this.#hostOf(transfer);
    const of = host === undefined ? "" : `${host}: `;
    if (!this.#options.isEndless) this.#outcomes.add(event);
    switch (event.type) {
      case "started":
        return;
      case "plan":
        if (event.dryRun !== undefined)
          return dryRunLines(event, event.dryRun).forEach((line) => this.summary(of + line));
        return this.detail(withPrefix(of, planText(event) ?? ""));
      case "progress":
        return this.progress(event, transfer);
      case "note":
        // A table, which a program may read: print it without the prefix.
        if (event.code === "checked") return findingLines(event.finding).forEach((line) => this.summary(line));
        if (event.code === "connecting-in") this.#progress.linkLost(transfer);
        return this.note(of + noteText(event));
      case "warning":
        return this.warn(of + warningText(event));
      case "detail":
        if (event.code === "command-started") this.#progress.login(transfer);
        if (event.code === "command-answered" || event.code === "tunnel-opened") this.#progress.loggedIn(transfer);
        return this.detail(withPrefix(of, detailText(event)));
      case "remote":
        return this.remote(event.line, host);
      case "build-step":
      case "build-progress":
      case "build-log":
      case "build-text":
      case "build-warning":
      case "build-source":
        return this.#build(event);
      case "build-done":
        return this.#endBuild("built");
      case "built":
        this.#endBuild("built");
        return this.summary(builtText(event));
      case "dockerfile-checked": // warnings are on stdout, and an error follows
        return event.count > 0 || event.error !== undefined
          ? undefined
          : this.summary("the Dockerfile has no warnings");
      case "error":
        return this.failure(event, transfer);
      case "result":
        return this.summary(of + resultText(event), transfer);
    }
  }

  /** Shows the builder's events instead of the progress of transfers, because only one area can be drawn at the end of a screen. */
  #build(event: BuildOutputEvent): void {
    if (this.#building === "over") return;
    if (this.#building === "not-begun") this.#progress.close();
    this.#building = "running";
    this.#options.buildDisplay?.event(event);
  }

  #endBuild(outcome: "built" | "failed" | "stopped"): void {
    this.#building = "over";
    this.#options.buildDisplay?.finish(outcome);
  }

  #hostOf(transfer: TransferName | undefined): string | undefined {
    return this.#options.namesHosts ? transfer?.host : undefined;
  }

  progress(progress: Progress, transfer?: TransferName): void {
    if (!this.#options.quiet && this.#options.progress && this.#building !== "running")
      this.#progress.update(progress, transfer);
  }

  /** Prints permanent text. */
  #print(text: string): void {
    // Any text may contain words of the remote side.
    const [first = "", ...others] = printable(text).split("\n");
    const lines = [first, ...others.map((line) => CONTINUATION + line)].join("\n");
    const print = (): void => this.#progress.above(() => this.#screen.write(`${lines}\n`));
    const { buildDisplay } = this.#options;
    if (buildDisplay === undefined) print();
    else buildDisplay.above(print);
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

  remote(line: string, host?: string): void {
    this.#print(`remote${host === undefined ? "" : ` ${host}`}: ${line}`);
  }

  summary(text: string, transfer?: TransferName): void {
    this.#progress.remove(transfer);
    if (!this.#options.quiet) this.#print(text);
  }

  /** Prints a failure of this side, or one that the remote side reported. */
  failure(report: ErrorReport, transfer?: TransferName): void {
    this.#progress.remove(transfer);
    const host = this.#hostOf(transfer);
    const of = host === undefined ? "" : `${host}: `;
    const words = JSON.stringify([report.message, report.expected, report.hint]);
    if (this.#failures.has(words))
      return host === undefined ? undefined : this.#print(`docker-over-ssh: ${of}as above`);
    if (!this.#options.isEndless) this.#failures.add(words);
    const { message, expected, hint } = report.side === "remote" ? eachOnOneLine(report) : report;
    this.#print(`docker-over-ssh: ${of}${report.side === "remote" ? "the remote side failed: " : ""}${message}`);
    if (expected) this.#print(`  expected: ${expected}`);
    if (hint) this.#print(`  to do:    ${hint}`);
  }

  /** Prints how the transfers of the command ended, if there were several. */
  outcomes(): void {
    if (!this.#options.quiet) for (const line of this.#outcomes.lines()) this.#print(line);
  }

  /** Removes the drawn progress. @param outcome how a build ended, if no event of the build has reported it */
  close(outcome: "built" | "failed" | "stopped" = "stopped"): void {
    this.#progress.close();
    this.#endBuild(outcome);
  }
}

/** Puts a prefix before a text, if there is one. */
function withPrefix(prefix: string, text: string): string {
  return text === "" ? "" : prefix + text;
}

/** The remote side chooses the words, but not the layout. */
function eachOnOneLine({
  message,
  expected = "",
  hint = "",
}: ErrorReport): Record<"message" | "expected" | "hint", string> {
  return { message: oneLine(message), expected: oneLine(expected), hint: oneLine(hint) };
}
