import { escaped, literal, readClass, refuse } from "./go-class.ts";

/** A part of a regular expression: a character, a position or a group of parts, and the number of its repetitions. */
export interface RegexpPart {
  /** JavaScript's syntax for one character, e.g. `[^\u{2f}]`, or for a position, e.g. `^` */
  text: string;
  isPosition?: boolean;
  group?: readonly RegexpPart[];
  min: number;
  max: number;
}

/** `.*` and `(.*\/)?`, as moby writes them. Go's `.` matches everything except `\n`. */
export const ANY: RegexpPart = { text: String.raw`[^\n]`, min: 0, max: Infinity };
const FOLDERS: RegexpPart = { text: "", group: [ANY, { text: literal("/"), min: 1, max: 1 }], min: 0, max: 1 };

/**
 * Reads a regular expression of Go (RE2, as `regexp.Compile` reads it), limited to the syntax that moby/patternmatcher generates from
 * patterns: literals, classes, escapes, `.*`, `(.*\/)?`, `{2}`, `|`, `^` and `$`. Returns its alternatives. Throws a SyntaxError for
 * expressions that Go also rejects.
 */
export function readGoRegexp(source: string): RegexpPart[][] {
  const chars = Array.from(source);
  const alternatives: RegexpPart[][] = [[]];
  let at = 0;
  while (at < chars.length) {
    const parts = alternatives.at(-1) as RegexpPart[];
    const char = chars[at] as string;
    const repeat = readRepeat(chars, at);
    if (repeat) {
      const last = parts.pop();
      if (!last || last.min !== 1 || last.max !== 1) refuse("a repetition of nothing, or of a repetition");
      parts.push({ ...last, min: repeat.min, max: repeat.max });
      at = repeat.next;
    } else if (char === "\\") {
      const text = escaped(chars[at + 1]);
      parts.push({ text, isPosition: /^(?:\\b|\\B|\^|\$)$/.test(text), min: 1, max: 1 });
      at += 2;
    } else if (char === "[") {
      const { text, next } = readClass(chars, at + 1);
      parts.push({ text, min: 1, max: 1 });
      at = next;
    } else if (char === "(") {
      parts.push(FOLDERS);
      at += "(.*/)?".length;
    } else if (char === ".") {
      parts.push(ANY);
      at += ".*".length;
    } else {
      if (char === "|") alternatives.push([]);
      else if (char === "^" || char === "$") parts.push({ text: char, isPosition: true, min: 1, max: 1 });
      else parts.push({ text: literal(char), min: 1, max: 1 });
      at += 1;
    }
  }
  return alternatives;
}

/** Go's limit for a number in `{2,5}` */
const MAX_REPEAT = 1000;

/** Reads `*` or `{2,5}`. Braces with any other content are literal. */
function readRepeat(chars: readonly string[], at: number): { min: number; max: number; next: number } | undefined {
  if (chars[at] === "*") return { min: 0, max: Infinity, next: at + 1 };
  const [all = "", low = "", comma, high = ""] = /^\{(\d+)(,)?(\d*)\}/.exec(chars.slice(at, at + 16).join("")) ?? [];
  if (all === "" || (comma === undefined && high !== "")) return undefined;
  const min = Number(low);
  const max = comma === undefined ? min : high === "" ? Infinity : Number(high);
  if (min > MAX_REPEAT || (max !== Infinity && (max > MAX_REPEAT || max < min)))
    refuse("a repetition that is too long");
  return { min, max, next: at + all.length };
}

/** Returns the source of the same regular expression for JavaScript, with the flag `u`. */
export function javaScriptSource(alternatives: readonly (readonly RegexpPart[])[]): string {
  const sourceOf = ({ text, group, min, max }: RegexpPart): string => {
    const item = group ? `(?:${group.map(sourceOf).join("")})` : text;
    if (min === 1 && max === 1) return item;
    return `${text.length > 1 && !group && /^\\?[\^$bB]$/.test(text) ? `(?:${item})` : item}{${min},${max === Infinity ? "" : max}}`;
  };
  return alternatives.map((parts) => parts.map(sourceOf).join("")).join("|");
}
