import { ANY, javaScriptSource, readGoRegexp, type RegexpPart } from "./go-regexp.ts";
import { linearMatcher } from "./linear-matcher.ts";

/** A pattern: a line of a .dockerignore, as moby/patternmatcher reads it. */
export interface DockerPattern {
  /** Cleaned, and without `!` */
  text: string;
  /** Whether the line begins with `!`: paths that it matches belong to the context after all. */
  isException: boolean;
  /**
   * Returns whether the pattern matches exactly this path. Does not check the folders above it. @param path relative to the context,
   * Unicode
   */
  matches: (path: string) => boolean;
}

/**
 * Parses a line: trims spaces, cleans the path, and splits off a leading `!`. Returns undefined for an empty line. Throws a SyntaxError for
 * a pattern that BuildKit rejects.
 */
export function dockerPattern(line: string): DockerPattern | undefined {
  const trimmed = trimSpace(line);
  if (trimmed === "") return;
  const cleaned = cleanPath(trimmed);
  const isException = cleaned.startsWith("!");
  const text = isException ? cleaned.slice(1) : cleaned;
  if (text === "") throw new SyntaxError("there is nothing after the !");
  if (!isWellFormed(text)) throw new SyntaxError("a [ without its ], an empty or half range, or a \\ at the end");
  return { text, isException, matches: compile(text) };
}

const IS_SPACE = /\p{White_Space}/u;

/**
 * Go's strings.TrimSpace. trim() would also remove a byte order mark, and would not remove U+0085. A single regular expression would be
 * quadratic: in a long run of spaces, it would search for the end of the text from each space.
 */
export function trimSpace(text: string): string {
  let [start, end] = [0, text.length];
  while (start < end && IS_SPACE.test(text.charAt(start))) start += 1;
  while (end > start && IS_SPACE.test(text.charAt(end - 1))) end -= 1;
  return text.slice(start, end);
}

/** Go's path.Clean */
export function cleanPath(path: string): string {
  const names: string[] = [];
  for (const name of path.split("/")) {
    if (name === ".." && names.length > 0 && names.at(-1) !== "..") names.pop();
    else if (name !== "" && name !== "." && !(name === ".." && path.startsWith("/"))) names.push(name);
  }
  return (path.startsWith("/") ? "/" : "") + names.join("/") || ".";
}

/** Returns whether Go's filepath.Match accepts a pattern. It is stricter about classes than regular expressions are. */
function isWellFormed(pattern: string): boolean {
  const chars = Array.from(pattern);
  let at = 0;
  /** Skips a character of a class. Returns false for an unescaped `-` or `]`, and at the end of the pattern. */
  const readClassChar = (): boolean => {
    if (chars[at] === undefined || chars[at] === "-" || chars[at] === "]") return false;
    if (chars[at] === "\\") at += 1;
    at += 1;
    return at < chars.length;
  };
  while (at < chars.length) {
    const char = chars[at];
    at += 1;
    if (char === "\\") {
      if (at === chars.length) return false;
      at += 1;
    } else if (char === "[") {
      if (chars[at] === "^") at += 1;
      const first = at;
      while (chars[at] !== "]" || at === first) {
        if (!readClassChar()) return false;
        if (chars[at] !== "-") continue;
        at += 1;
        if (!readClassChar()) return false;
      }
      at += 1;
    }
  }
  return true;
}

/**
 * Compiles a pattern. Most are compared as strings. The others become the same regular expression as in moby, with the same accidental
 * meanings: `[*]` is a class of `[`, `^` and `/`, repeated, before a `]`. In a pattern with wildcards, moby does not escape `{`, `|` and
 * `}` (its table of characters to escape has no room for them), so `a|*.b` means two alternatives.
 */
function compile(pattern: string): (path: string) => boolean {
  let kind: "exact" | "prefix" | "suffix" | "regexp" = "exact";
  let source = "^";
  const chars = Array.from(pattern);
  let at = 0;
  while (at < chars.length) {
    const isFirst = at === 0;
    const char = chars[at] as string;
    at += 1;
    if (char === "*" && chars[at] === "*") {
      at += chars[at + 1] === "/" ? 2 : 1;
      if (at === chars.length) {
        kind = kind === "exact" ? "prefix" : "regexp";
        source += ".*";
      } else {
        kind = "regexp";
        source += "(.*/)?";
      }
      if (isFirst) kind = "suffix";
    } else if (char === "*" || char === "?") {
      kind = "regexp";
      source += char === "*" ? "[^/]*" : "[^/]";
    } else if (char === "\\") {
      kind = "regexp";
      source += `\\${chars[at] ?? ""}`;
      at += 1;
    } else {
      if (char === "[" || char === "]") kind = "regexp";
      source += ".+()$".includes(char) ? `\\${char}` : char;
    }
  }
  if (kind === "exact") return (path) => path === pattern;
  if (kind === "prefix") return (path) => path.startsWith(pattern.slice(0, -2));
  if (kind === "suffix") return (path) => path.endsWith(pattern.slice(2)) || `/${path}` === pattern.slice(2);
  const alternatives = readGoRegexp(`${source}$`);
  const regexp = new RegExp(javaScriptSource(alternatives), "u");
  return costOf(alternatives) > MAX_COST ? linearMatcher(alternatives) : (path) => regexp.test(path);
}

/**
 * Up to this cost, JavaScript's regular expressions are used, because they are faster for most paths. Above it, they may take more than 20
 * ms for a crafted path.
 */
const MAX_COST = 7;

/**
 * Estimates the time of a regular expression: parts of any length multiply it. A `*` ends at a slash, so it matches at most 255 bytes. A
 * `**` matches up to a whole path.
 */
function costOf(alternatives: readonly (readonly RegexpPart[])[]): number {
  const cost = (part: RegexpPart): number => (part.group || part === ANY ? 3 : part.max === Infinity ? 2 : 0);
  return alternatives.flat().reduce((sum, part) => sum + cost(part), 0);
}
