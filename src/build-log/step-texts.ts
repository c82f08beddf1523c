import type { BuildProgress, BuildWarning } from "../output/build-events.ts";
import { bytes, oneLine, plural } from "../output/describe.ts";

/** Formats the time of a step: `0.3s`. */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)}s`;
}

/** Formats the time of a line since its step began, as `docker build` does: longer times have fewer decimals. */
export function lineSeconds(ms: number): string {
  return (ms / 1000).toFixed(ms < 10_000 ? 3 : ms < 100_000 ? 2 : 1);
}

/** Formats the progress of an item: `1.1 MB / 3.4 MB`, `1.1 MB`, or "" if no bytes are counted. */
export function amount({ current, total }: Pick<BuildProgress, "current" | "total">): string {
  if (total > 0) return `${bytes(current)} / ${bytes(total)}`;
  return current > 0 ? bytes(current) : "";
}

/** Returns the lines that list the warnings of a build at its end. */
export function warningLines(warnings: readonly BuildWarning[]): string[] {
  if (warnings.length === 0) return [];
  const entries = warnings.map(({ text, details, url }) => [
    ` - ${oneLine(text)}`,
    ...details.slice(0, 5).map((detail) => `   ${oneLine(detail)}`),
    ...(url ? [`   ${oneLine(url)}`] : []),
  ]);
  return ["", `${plural(warnings.length, "warning")} of the builder:`, ...entries.flat()];
}
