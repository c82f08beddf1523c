import type { BuildSource } from "../output/build-events.ts";

/** Lines shown before and after the failing ones. */
const CONTEXT_LINES = 4;

/**
 * Finds the lines of a Dockerfile at which a build has failed; returns undefined if they are unknown. BuildKit's message may contain a line
 * number (`dockerfile parse error on line 3: …`, `Dockerfile:3`). Otherwise the name of the step is the text of an instruction.
 *
 * @param dockerfile its path and its text
 * @param stepName the name of the failed step, e.g. `[build 2/4] RUN make`
 */
export function findSource(
  dockerfile: { path: string; text: string },
  message: string,
  stepName = "",
): BuildSource | undefined {
  const lines = dockerfile.text.trimEnd().split(/\r?\n/);
  const [, numbered] = /(?:\bon line |\bdockerfile:)(\d+)/i.exec(message) ?? [];
  const [first, last] = rangeOf(numbered, lines) ?? instructionOf(stepName, lines) ?? [];
  if (first === undefined || last === undefined) return undefined;
  const from = Math.max(0, first - CONTEXT_LINES);
  return {
    dockerfile: dockerfile.path,
    lines: lines.slice(from, last + 1 + CONTEXT_LINES).map((text, index) => {
      const at = from + index;
      return { number: at + 1, text, hasFailed: at >= first && at <= last };
    }),
  };
}

type Range = [first: number, last: number];

function rangeOf(numbered: string | undefined, lines: readonly string[]): Range | undefined {
  const index = Number(numbered) - 1;
  return index >= 0 && index < lines.length ? [index, index] : undefined;
}

/** Finds the instruction that a step is named after. Returns undefined if several have this text. */
function instructionOf(stepName: string, lines: readonly string[]): Range | undefined {
  const wanted = squeezed(stepName.replace(/^\[[^\]]*\] /, ""));
  if (wanted === "") return undefined;
  const found = instructions(lines).filter(({ text }) => squeezed(text) === wanted);
  const [only] = found;
  return found.length === 1 && only !== undefined ? only.range : undefined;
}

/**
 * Joins lines that end with a backslash to the next ones, and drops the comments between them. Dockerfiles with another escape character
 * are not supported.
 */
function instructions(lines: readonly string[]): { text: string; range: Range }[] {
  const found: { text: string; range: Range }[] = [];
  let text: string[] = [];
  let first = 0;
  lines.forEach((line, index) => {
    if (/^\s*(?:#|$)/.test(line)) return;
    if (text.length === 0) first = index;
    text.push(line.replace(/\\\s*$/, ""));
    if (/\\\s*$/.test(line)) return;
    found.push({ text: text.join(" "), range: [first, index] });
    text = [];
  });
  return found;
}

/** Normalises text as BuildKit does in names of steps: the instruction in capitals, and a single space for several. */
function squeezed(text: string): string {
  return text
    .replaceAll(/\s+/g, " ")
    .trim()
    .replace(/^\w+/, (name) => name.toUpperCase());
}
