import { oneLine } from "../output/describe.ts";
import type { BuildSource } from "../output/build-events.ts";
import type { BuildSteps } from "./build-steps.ts";
import { safeLine } from "./safe-line.ts";
import { lineSeconds } from "./step-texts.ts";
import type { Step } from "./step.ts";

/**
 * Returns the lines that show why a build has failed: the output of the failed steps, and the lines of the Dockerfile.
 *
 * @param linesOfStep the maximum number of lines of a step; the last ones are returned
 */
export function failureLines(steps: BuildSteps, keepsColours: boolean, linesOfStep = Infinity): string[] {
  const failed = steps.started.filter(({ hasFailed }) => hasFailed);
  return [
    ...failed.flatMap((step) => stepLines(step, keepsColours, linesOfStep)),
    ...(steps.source === undefined ? [] : sourceLines(steps.source)),
  ];
}

function stepLines(step: Step, keepsColours: boolean, most: number): string[] {
  const lines = most === Infinity ? step.lines : step.lines.slice(-most);
  const left = step.dropped + step.lines.length - lines.length;
  return [
    "------",
    ` > ${step.name}:`,
    ...(left > 0 ? [`(${left} earlier lines)`] : []),
    ...lines.map(({ ms, text }) => `${lineSeconds(ms)} ${safeLine(text, keepsColours)}`),
    "------",
  ];
}

function sourceLines({ dockerfile, lines }: BuildSource): string[] {
  const failing = lines.find(({ hasFailed }) => hasFailed) ?? lines[0];
  const ruler = "-".repeat(20);
  const shown = lines.map(({ number, text, hasFailed }) =>
    `${String(number).padStart(4)} | ${hasFailed ? ">>>" : "   "} ${safeLine(text, false)}`.trimEnd(),
  );
  return [`${oneLine(dockerfile)}:${failing?.number ?? 1}`, ruler, ...shown, ruler];
}
