import { ratios, type Row } from "./results.ts";

const HEAD = [
  "store",
  "scenario",
  "link",
  "by",
  "seconds",
  "MB out",
  "MB back",
  "× time",
  "× bytes",
  "peak MB near",
  "far",
  "",
];

/** Formats a Markdown table with aligned columns. */
export function table(rows: Row[]): string {
  const lines = rows.map((row) => {
    const times = ratios(row, rows);
    return [
      row.store,
      row.scenario,
      row.link,
      row.ours ? `**${row.peer}**` : row.peer.replaceAll("|", String.raw`\|`),
      figure(row.seconds),
      megabytes(row.toFar),
      megabytes(row.toNear),
      figure(times.seconds),
      figure(times.bytes),
      megabytes(row.peakNear),
      megabytes(row.peakFar),
      row.why ?? (row.repeats !== undefined && row.repeats > 1 ? `median of ${row.repeats}` : ""),
    ];
  });
  const widths = HEAD.map((head, column) => Math.max(...[head, ...lines.map((line) => line[column] ?? "")].map(width)));
  const isNumber = (column: number): boolean => column >= 4 && column <= 10;
  const pad = (text: string, column: number): string => {
    const space = " ".repeat((widths[column] ?? 0) - width(text));
    return isNumber(column) ? space + text : text + space;
  };
  const rule = widths.map((width, column) => (isNumber(column) ? `${"-".repeat(width - 1)}:` : "-".repeat(width)));
  return [HEAD.map(pad), rule, ...lines.map((line) => line.map(pad))]
    .map((cells) => `| ${cells.join(" | ")} |`)
    .join("\n");
}

/** Formats a number with three significant digits: 0.0123, 1.23, 12.3, 123, 1234. */
export function figure(value: number | undefined): string {
  if (value === undefined) return "";
  if (value >= 100) return value.toFixed(0);
  return value === 0 ? "0" : String(Number(value.toPrecision(3)));
}

export function megabytes(bytes: number | undefined): string {
  return bytes === undefined ? "" : figure(bytes / 1e6);
}

const width = (text: string): number => text.length;
