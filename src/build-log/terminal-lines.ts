import type { BuildProgress } from "../output/build-events.ts";
import { columnsOf, cutToColumns } from "../output/text-width.ts";
import { oneLine } from "../output/describe.ts";
import type { BuildSteps } from "./build-steps.ts";
import { safeLine } from "./safe-line.ts";
import { amount, seconds } from "./step-texts.ts";
import type { Step } from "./step.ts";

/** Limits on the lines of the log and the downloads that are shown below a running step. */
const LOG_LINES = 6;
const DOWNLOADS = 6;
/** The minimum width of a name next to its time, in columns. */
const MIN_NAME = 12;

/** SGR attributes. */
const BLUE = "34";
const RED = "31";
const YELLOW = "33";
const FAINT = "2";

export interface LinesOptions {
  columns: number;
  /** The maximum number of lines. If undefined, all lines: for the last drawing */
  rows?: number | undefined;
  hasColours: boolean;
  /** Shown in the first line, `Building 1.2s (5/9) FINISHED` */
  outcome?: "built" | "failed" | "stopped" | undefined;
}

/**
 * Returns the lines of a build on a terminal: a title, and the steps with their times. Below each running step are the last lines of its
 * log and its downloads. If they do not all fit, the steps that ended first are omitted, then logs and downloads.
 */
export function terminalLines(steps: BuildSteps, options: LinesOptions): string[] {
  const { columns, rows = Infinity, outcome } = options;
  const now = steps.now();
  const blocks = steps.started.map((step) => ({
    isRunning: !step.isCompleted,
    line: stepLine(step, now, options),
    below: step.isCompleted || outcome !== undefined ? [] : linesBelow(step, now, options),
  }));
  const title = cutToColumns(titleOf(steps, outcome), columns);
  const room = rows - 2; // without the title and the line of the cursor
  const all = blocks.reduce((sum, { below }) => sum + 1 + below.length, 0);
  if (all <= room) return [title, ...blocks.flatMap(({ line, below }) => [line, ...below])];
  // Running steps are below completed ones.
  const running = blocks.filter(({ isRunning }) => isRunning);
  const ended = blocks.filter(({ isRunning }) => !isRunning);
  const shownBlocks = [...ended.slice(ended.length - Math.max(0, room - running.length)), ...running].slice(
    -Math.max(0, room),
  );
  let left = room - shownBlocks.length;
  const below = shownBlocks.map((block, index) => {
    const others = shownBlocks.slice(index + 1).filter((later) => later.below.length > 0).length;
    const share = Math.min(block.below.length, Math.floor(left / (others + 1)));
    left -= share;
    return share === 0 ? [] : block.below.slice(-share);
  });
  return [title, ...shownBlocks.flatMap(({ line }, index) => [line, ...(below[index] ?? [])])];
}

function titleOf(steps: BuildSteps, outcome: LinesOptions["outcome"]): string {
  const [first] = steps.started;
  const isOver = outcome !== undefined;
  const done = steps.started.filter(({ isCompleted }) => isCompleted).length;
  const end = isOver ? { built: " FINISHED", failed: " FAILED", stopped: " STOPPED" }[outcome] : "";
  return `[+] Building ${seconds(steps.msSinceStart)} (${done}/${steps.count})${first === undefined ? "" : end}`;
}

function stepLine(step: Step, now: number, { columns, hasColours }: LinesOptions): string {
  const mark = step.isCancelled ? "CANCELED " : step.hasFailed ? "ERROR " : step.isCached ? "CACHED " : "";
  const line = aligned(` => ${mark}${step.name}`, seconds(step.ms(now)), columns);
  if (!step.isCompleted || !hasColours) return line;
  return coloured(line, step.isCancelled ? YELLOW : step.hasFailed ? RED : BLUE);
}

function linesBelow(step: Step, now: number, { columns, hasColours }: LinesOptions): string[] {
  const unfinished = [...step.progress.values()].filter(({ completed }) => completed === undefined);
  const downloads = unfinished.slice(0, DOWNLOADS).map((progress) => downloadLine(progress, now, columns));
  const last = [...step.lines.slice(-LOG_LINES).map(({ text }) => text), ...step.partialLines]
    .map((text) => safeLine(text, false).replaceAll("\t", "  ").trimEnd())
    .filter((text) => text !== "")
    .slice(-LOG_LINES);
  const log = last.map((text) => cutToColumns(` => => # ${text}`, columns));
  return [...downloads, ...(hasColours ? log.map((line) => coloured(line, FAINT)) : log)];
}

function downloadLine(progress: BuildProgress, now: number, columns: number): string {
  const time = seconds(Math.max(0, now - (progress.started ?? now)));
  const size = amount(progress);
  return aligned(` => => ${oneLine(progress.id)}`, size === "" ? time : `${size} ${time}`, columns);
}

/** Puts `right` at the end of the line, and cuts `left` to the remaining columns. */
function aligned(left: string, right: string, columns: number): string {
  const room = columns - right.length - 1;
  if (room < MIN_NAME) return cutToColumns(left, columns);
  const cut = cutToColumns(left, room);
  return `${cut}${" ".repeat(Math.max(0, room - columnsOf(cut)))} ${right}`;
}

function coloured(line: string, colour: string): string {
  return `\u001b[${colour}m${line}\u001b[0m`;
}
