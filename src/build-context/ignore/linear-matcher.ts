import { refuse } from "./go-class.ts";
import type { RegexpPart } from "./go-regexp.ts";

/** The maximum number of steps of one program. Go also has such a limit. */
const MAX_STEPS = 10_000;

type Step =
  | { kind: "character"; matches: (char: string) => boolean; next: number }
  | { kind: "position"; matches: (path: string, at: number) => boolean; next: number }
  | { kind: "either"; next: number; other: number }
  | { kind: "match" };

/**
 * Returns a matcher whose time grows with the length of the path times that of the pattern, as in Go: it follows all alternatives at once
 * (Thompson's construction). JavaScript's regular expressions backtrack: `*a*a*a*a*b` takes 40 s for a name of 200 letters, and a
 * .dockerignore may be hostile.
 */
export function linearMatcher(alternatives: readonly (readonly RegexpPart[])[]): (path: string) => boolean {
  const steps: Step[] = [{ kind: "match" }];
  const starts = alternatives.map((parts) => addParts(steps, parts, 0));
  return (path) => matches(steps, starts, path);
}

/** Adds steps from the last to the first, because each needs the index of the next one. Returns the index of the first. */
function addParts(steps: Step[], parts: readonly RegexpPart[], end: number): number {
  return parts.reduceRight((next, part) => addRepeated(steps, part, next), end);
}

function addRepeated(steps: Step[], part: RegexpPart, end: number): number {
  let next = end;
  if (part.max === Infinity) {
    const again: Step = { kind: "either", next: -1, other: end };
    next = add(steps, again);
    again.next = addOnce(steps, part, next);
  } else {
    for (let count = part.min; count < part.max; count += 1)
      next = add(steps, { kind: "either", next: addOnce(steps, part, next), other: end });
  }
  for (let count = 0; count < part.min; count += 1) next = addOnce(steps, part, next);
  return next;
}

function addOnce(steps: Step[], { text, group, isPosition }: RegexpPart, next: number): number {
  if (group) return addParts(steps, group, next);
  if (isPosition) return add(steps, { kind: "position", matches: positionTest(text), next });
  return add(steps, { kind: "character", matches: characterTest(text), next });
}

function add(steps: Step[], step: Step): number {
  if (steps.length === MAX_STEPS) refuse("too long");
  return steps.push(step) - 1;
}

function characterTest(text: string): (char: string) => boolean {
  const [, code] = /^\\u\{([0-9a-f]+)\}$/.exec(text) ?? [];
  const literal = code === undefined ? undefined : String.fromCodePoint(Number.parseInt(code, 16));
  const regexp = new RegExp(`^${text}$`, "u");
  return literal === undefined ? (char) => regexp.test(char) : (char) => char === literal;
}

function positionTest(text: string): (path: string, at: number) => boolean {
  if (text === "^") return (_, at) => at === 0;
  if (text === "$") return (path, at) => at === path.length;
  const isWord = (char = ""): boolean => /^\w$/.test(char);
  return (path, at) => (isWord(path[at - 1]) !== isWord(path[at])) === (text === String.raw`\b`);
}

function matches(steps: readonly Step[], starts: readonly number[], path: string): boolean {
  let current: number[] = [];
  /** The position at which each step was last reached */
  const reached = new Int32Array(steps.length).fill(-1);
  let at = 0;
  let isMatch = false;
  const reach = (list: number[], first: number): void => {
    const rest = [first];
    for (let index = rest.pop(); index !== undefined; index = rest.pop()) {
      if (reached[index] === at) continue;
      reached[index] = at;
      const step = steps[index] as Step;
      if (step.kind === "match") isMatch = true;
      else if (step.kind === "character") list.push(index);
      else if (step.kind === "either") rest.push(step.next, step.other);
      else if (step.matches(path, at)) rest.push(step.next);
    }
  };
  for (const start of starts) reach(current, start);
  for (const char of path) {
    if (isMatch) return true;
    const from = current;
    current = [];
    at += char.length;
    for (const index of from) {
      const step = steps[index] as Step;
      if (step.kind === "character" && step.matches(char)) reach(current, step.next);
    }
    // All alternatives except the first may begin anywhere, as in any search.
    for (const start of starts) reach(current, start);
    if (current.length === 0 && starts.length === 1) break;
  }
  return isMatch;
}
