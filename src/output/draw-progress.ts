import { bytes, duration, plural, printable } from "./describe.ts";
import type { Progress, ProgressOfLayer } from "./events.ts";
import { STAGE_TEXT } from "./texts.ts";

/** A transfer in progress. */
export interface ShownProgress {
  /** Image and host; empty for a single transfer without a name */
  name: string;
  progress: Progress;
  /** Bytes a second */
  rate: number | undefined;
  /** ms since the stage began */
  elapsed: number;
}

/** Minimum and maximum columns of a bar, brackets included. */
const BAR = { min: 12, max: 42 };
const GAP = "  ";
/** ms after which a stage without a rate shows its elapsed time. */
const ELAPSED_AFTER = 2_000;
/** Layers shown below one transfer; no more are transferred at a time. */
const MAX_LAYERS = 8;

/**
 * Returns a line for each transfer, in aligned columns, and below it one for each of its layers being transferred if `rows` has room for all. No
 * line is wider than `columns`.
 */
export function progressLines(shown: readonly ShownProgress[], columns: number, rows: number): string[] {
  const room = Math.max(1, rows - 1);
  const visible = shown.slice(0, room);
  const ofTransfers = transferLines(visible, columns, shown.length === 1);
  const lines = visible.map((transfer, index) => ({
    line: ofTransfers[index] ?? "",
    layers: (transfer.progress.perLayer ?? []).slice(0, MAX_LAYERS).map((layer) => layerLine(layer, columns)),
  }));
  const forLayers = room - lines.length;
  const all = lines.reduce((sum, { layers }) => sum + layers.length, 0);
  // All or none: lines that come and go make the others jump.
  const hidden = shown.length - lines.length;
  const more = hidden > 0 ? [`and ${hidden} more`.slice(0, columns)] : [];
  return [...lines.flatMap(({ line, layers }) => [line, ...(all <= forLayers ? layers : [])]), ...more];
}

/** Returns a line for a log, e.g. `sending  41%  41.2 MB of 101 MB  12.1 MB/s  eta 5.0 s  3 of 5 layers`. */
export function logLine({ name, ...shown }: ShownProgress): string {
  const { stage, percent, size, speed, eta, saved, layers } = partsOf(shown);
  const line = joined([stage, percent, size, speed, eta, saved, layers]);
  return name === "" ? line : `${name}: ${line}`;
}

/** Positions of the parts of a line that are omitted if there is no room, in this order. */
const DISPENSABLE = {
  /** layers, name, savings, bar, rate, time to go */
  only: [8, 0, 7, 2, 5, 6],
  /** layers, savings, bar, rate, time to go, bytes; not the name, which distinguishes the lines */
  several: [8, 7, 2, 5, 6, 4],
};

/** Positions of the bar, and of the right-aligned numbers. */
const BAR_PART = 2;
const NUMBERS = new Set([3, 4, 5]);

/** All lines have the same parts: a part that does not fit into one line is omitted from all. */
function transferLines(shown: readonly ShownProgress[], columns: number, isOnly: boolean): string[] {
  const table = shown.map(({ name, ...transfer }) => {
    const { stage, percent, size, speed, eta, saved, layers } = partsOf(transfer);
    const bar = percent === "" ? "" : " ".repeat(BAR.min);
    return [shorten(printable(name), Math.floor(columns / 3)), stage, bar, percent, size, speed, eta, saved, layers];
  });
  const widths = (table[0] ?? []).map((_, part) => Math.max(...table.map((parts) => parts[part]?.length ?? 0)));
  const dispensable = [...DISPENSABLE[isOnly ? "only" : "several"]];
  const width = (): number =>
    widths.reduce((sum, cell) => sum + cell, 0) + GAP.length * (widths.filter((cell) => cell > 0).length - 1);
  while (width() > columns && dispensable.length > 0) widths[dispensable.shift() ?? 0] = 0;
  if (widths[BAR_PART]) widths[BAR_PART] = Math.min(BAR.max, BAR.min + columns - width());
  return table.map((parts, index) => {
    const cells = widths.flatMap((cellWidth, part) => {
      if (cellWidth === 0) return [];
      const text = parts[part] ?? "";
      const hasBar = part === BAR_PART && text !== "";
      if (hasBar) return [drawBar(shown[index]?.progress ?? { current: 0 }, cellWidth)];
      return [NUMBERS.has(part) ? text.padStart(cellWidth) : text.padEnd(cellWidth)];
    });
    return cells.join(GAP).trimEnd().slice(0, columns);
  });
}

/** If there is no room, omits the bar first and the part after the bytes next. */
function layerLine(layer: ProgressOfLayer, columns: number): string {
  const bar = layer.total ? drawBar(layer, BAR.min * 2) : "";
  const [id, size, how] = [`  ${layer.id}`, sizeOf(layer), layer.isByDelta ? "by delta" : ""];
  const forms = [joined([id, bar, size, how]), joined([id, size, how]), joined([id, size])];
  return forms.find((form) => form.length <= columns) ?? (forms.at(-1) ?? "").slice(0, columns);
}

function joined(parts: readonly string[]): string {
  return parts.filter((part) => part !== "").join(GAP);
}

type Part = "stage" | "percent" | "size" | "speed" | "eta" | "saved" | "layers";

function partsOf({ progress, rate, elapsed }: Omit<ShownProgress, "name">): Record<Part, string> {
  const { stage, current, total, saved, layers } = progress;
  const isRunning = rate !== undefined && total !== undefined && total > current;
  return {
    stage: STAGE_TEXT[stage],
    percent: total ? `${progress.isEstimated ? "~" : ""}${percentOf(current, total)}%` : "",
    size: sizeOf(progress),
    speed: rate !== undefined ? `${bytes(rate)}/s` : elapsed >= ELAPSED_AFTER ? `for ${duration(elapsed)}` : "",
    eta: isRunning ? `eta ${progress.isEstimated ? "~" : ""}${duration(((total - current) / rate) * 1000)}` : "",
    saved: saved ? `${bytes(saved)} saved` : "",
    layers: layers !== undefined && layers.total > 0 ? `${layers.done} of ${plural(layers.total, "layer")}` : "",
  };
}

function sizeOf({ current, total, isEstimated }: Pick<Progress, "current" | "total" | "isEstimated">): string {
  if (total === undefined) return current > 0 ? bytes(current) : "";
  if (current === 0 && total === 0) return "";
  const [[done = "", unit], [all = "", unitOfAll]] = [bytes(current).split(" "), bytes(total).split(" ")];
  return `${unit === unitOfAll ? done : `${done} ${unit}`} of ${isEstimated ? "~" : ""}${all} ${unitOfAll}`;
}

/** Rounds down: 100 appears only when all bytes have arrived. */
function percentOf(current: number, total: number): number {
  return Math.min(100, Math.floor((100 * current) / total));
}

function drawBar({ current, total = 0 }: Pick<Progress, "current" | "total">, width: number): string {
  const inner = width - 2;
  const done = Math.min(inner, Math.floor((inner * current) / Math.max(total, 1)));
  const head = done > 0 && done < inner ? ">" : "";
  return `[${"=".repeat(done - head.length)}${head}${" ".repeat(inner - done)}]`;
}

/** Keeps the end of a name, which is more specific than its beginning. */
function shorten(name: string, length: number): string {
  const short = name.length <= length ? name : name.replaceAll("ssh://", "");
  return short.length <= length ? short : `…${short.slice(short.length - length + 1)}`;
}
