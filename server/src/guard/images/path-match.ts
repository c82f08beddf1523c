import { Refusal } from "../refusal.ts";

/** Maximum characters of a pattern, which are more than a name has */
const MAX_PATTERN = 512;

/** A part of a pattern: any characters, or one character that passes a test. */
type Part = "any" | ((character: string) => boolean);

/**
 * Returns the test of a pattern with the syntax of engines (Go's `path.Match`). `*` and `?` match characters of one component, and `[a-z]` and `[^a-z]` match one
 * character of a set. `\` escapes the next character. The time of the test is at most the product of both lengths, whatever the pattern.
 *
 * @throws Refusal 400
 */
export function pathMatch(pattern: string): (name: string) => boolean {
  if (pattern.length > MAX_PATTERN) throw badPattern(pattern, `it has more than ${MAX_PATTERN} characters`);
  const components = readPattern(pattern);
  return (name) => {
    const names = name.split("/");
    return (
      names.length === components.length && components.every((parts, at) => matches(parts, Array.from(names[at] ?? "")))
    );
  };
}

/** Parses a pattern. Returns the parts of each component. */
function readPattern(pattern: string): Part[][] {
  const characters = Array.from(pattern);
  const components: Part[][] = [[]];
  for (let at = 0; at < characters.length; at++) {
    const character = characters[at];
    const parts = components.at(-1);
    if (character === "/") components.push([]);
    else if (character === "*") parts?.push("any");
    else if (character === "?") parts?.push(() => true);
    else if (character === "[") {
      const [part, length] = readSet(pattern, characters.slice(at + 1));
      parts?.push(part);
      at += length;
    } else {
      const wanted = character === "\\" ? characters[++at] : character;
      if (wanted === undefined) throw badPattern(pattern, "nothing follows the backslash");
      parts?.push((found) => found === wanted);
    }
  }
  return components;
}

/** Parses a set after its opening bracket. Returns its test, and its length in characters, including the closing bracket. */
function readSet(pattern: string, characters: readonly string[]): [part: Part, length: number] {
  const isNegated = characters[0] === "^";
  const ranges: [from: string, to: string][] = [];
  let at = isNegated ? 1 : 0;
  const next = (): string => {
    const character = characters[at++];
    const found = character === "\\" ? characters[at++] : character;
    if (found === undefined || (character !== "\\" && (found === "-" || found === "]")))
      throw badPattern(pattern, "a set in brackets is not complete");
    return found;
  };
  while (characters[at] !== "]" || ranges.length === 0) {
    const from = next();
    let to = from;
    if (characters[at] === "-") {
      at += 1;
      to = next();
    }
    ranges.push([from, to]);
  }
  const isIn = (found: string): boolean => ranges.some(([from, to]) => from <= found && found <= to);
  return [(found) => isIn(found) !== isNegated, at + 1];
}

/** Matches a component. Backtracks only to the last `*`, because earlier ones already match as few characters as possible. */
function matches(parts: readonly Part[], characters: readonly string[]): boolean {
  let part = 0;
  let at = 0;
  let star: { part: number; at: number } | undefined;
  while (at < characters.length) {
    const wanted = parts[part];
    if (wanted === "any") {
      star = { part, at };
      part += 1;
    } else if (wanted?.(characters[at] ?? "") === true) {
      part += 1;
      at += 1;
    } else if (star !== undefined) {
      star.at += 1;
      ({ at } = star);
      part = star.part + 1;
    } else return false;
  }
  return parts.slice(part).every((rest) => rest === "any");
}

function badPattern(pattern: string, why: string): Refusal {
  const shown = pattern.length > 80 ? `${pattern.slice(0, 80)}…` : pattern;
  return new Refusal("filter.pattern", `"${shown}" is not a pattern of names: ${why}`, { statusCode: 400 });
}
