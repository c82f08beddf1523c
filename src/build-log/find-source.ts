import type { BuildSource } from "../output/build-events.ts";

/** Lines that are shown before and behind those that failed. */
const AROUND = 4;

/**
 * Finds the lines of a Dockerfile at which a build has failed; undefined where nothing tells them. BuildKit's message may have a line's
 * number (`dockerfile parse error on line 3: …`, `Dockerfile:3`), else the name of the step is the text of an instruction.
 *
 * @param dockerfile its path and its text
 * @param stepName of the step with an error, e.g. `[build 2/4] RUN make`
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
  const from = Math.max(0, first - AROUND);
  return {
    dockerfile: dockerfile.path,
    lines: lines.slice(from, last + 1 + AROUND).map((text, index) => {
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

/** Finds the instruction that a step is named by, where only one has this text. */
function instructionOf(stepName: string, lines: readonly string[]): Range | undefined {
  const wanted = squeezed(stepName.replace(/^\[[^\]]*\] /, ""));
  if (wanted === "") return undefined;
  const found = instructions(lines).filter(({ text }) => squeezed(text) === wanted);
  const [only] = found;
  return found.length === 1 && only !== undefined ? only.range : undefined;
}

/** Joins lines that go on behind a backslash, without the comments between them. A Dockerfile with another escape character is not understood. */
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

/** The step's name has an instruction's name in capitals, and one space for several. */
function squeezed(text: string): string {
  return text
    .replaceAll(/\s+/g, " ")
    .trim()
    .replace(/^\w+/, (name) => name.toUpperCase());
}
