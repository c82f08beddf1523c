import { Refusal } from "../../refusal.ts";
import { dockerfileError } from "./dockerfile-error.ts";

/** The text of an instruction, with its continuation lines joined. */
export interface LogicalLine {
  text: string;
  /** The number of its first line, from 1 */
  number: number;
}

/** The character that joins lines and escapes other characters: `\`, or a backtick if a directive sets it. */
export type EscapeToken = "\\" | "`";

/** The characters that Go's unicode.IsSpace treats as space. JavaScript's `\s` contains the byte order mark, and lacks U+0085. */
export const SPACE = "[\\t\\n\\v\\f\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";
const IS_SPACE = new RegExp(SPACE);
/** The spaces of Go's regular expressions (`\s`), in directives */
const REGEXP_SPACE = "\t\n\f\r ";
/** Maximum bytes of a line in Go's bufio.Scanner */
const MAX_LINE = 64 * 1024 - 1;
/** Maximum bytes of a Dockerfile */
export const MAX_DOCKERFILE = 1024 * 1024;

const DIRECTIVE = /^#[\t\n\f\r ]*([a-zA-Z][a-zA-Z0-9]*)[\t\n\f\r ]*=/;
const DIRECTIVES: ReadonlySet<string> = new Set(["escape", "syntax", "check"]);

/** Decodes a Dockerfile. Throws a Refusal for bytes that are not UTF-8, and for NUL. */
export function decodeDockerfile(bytes: Uint8Array): string {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Refusal("dockerfile.encoding", "the Dockerfile is not UTF-8", { statusCode: 400 });
  }
  if (!text.includes("\0")) return text;
  throw new Refusal("dockerfile.encoding", "the Dockerfile has a NUL character", { statusCode: 400 });
}

/** Splits a Dockerfile into instructions. Handles directives, comments, empty lines and continuation like the classic builder. */
export function logicalLines(dockerfile: string): { lines: LogicalLine[]; escape: EscapeToken } {
  const physical = dockerfile.replace(/^\uFEFF/, "").split("\n");
  const { escape } = readDirectives(physical);
  const lines: LogicalLine[] = [];
  for (let at = 0; at < physical.length; at++) {
    const number = at + 1;
    const first = trimStart(cleaned(physical, at));
    const [begun, isWhole] = isComment(first) ? ["", true] : withoutContinuation(first, escape);
    if (isWhole && begun === "") continue;
    let text = begun;
    let isOpen = !isWhole;
    while (isOpen && at + 1 < physical.length) {
      at++;
      const next = cleaned(physical, at);
      // Comments and empty lines inside an instruction do not end it.
      if (isComment(trimStart(next)) || trimStart(next) === "") continue;
      const [more, isLast] = withoutContinuation(next, escape);
      text += more;
      isOpen = !isLast;
    }
    lines.push({ text, number });
  }
  return { lines, escape };
}

/** Returns whether the classic builder would join a line with the next one. */
export function isContinued(line: string, escape: EscapeToken): boolean {
  return !withoutContinuation(line, escape)[1];
}

export function isSpace(char: string): boolean {
  return IS_SPACE.test(char);
}

function trimStart(text: string): string {
  let at = 0;
  while (at < text.length && isSpace(text.charAt(at))) at++;
  return text.slice(at);
}

/** Trims the end of a text. A regular expression would search for the end of the text from each character of a long run of spaces. */
function trimEnd(text: string, isTrimmed: (char: string) => boolean): string {
  let end = text.length;
  while (end > 0 && isTrimmed(text.charAt(end - 1))) end--;
  return text.slice(0, end);
}

function cleaned(physical: readonly string[], at: number): string {
  const line = physical[at] ?? "";
  if (Buffer.byteLength(line) > MAX_LINE) {
    throw dockerfileError(at + 1, `dockerfile line greater than max allowed size of ${MAX_LINE}`);
  }
  return trimEnd(line, (char) => char === "\r");
}

function isComment(line: string): boolean {
  return line.startsWith("#");
}

/** @returns the line without the escape token at its end, and whether the instruction ends with this line */
function withoutContinuation(line: string, escape: EscapeToken): [text: string, isWhole: boolean] {
  const text = trimEnd(line, (char) => char === " " || char === "\t");
  const isOpen = text.endsWith(escape) && text.at(-2) !== escape;
  return isOpen ? [text.slice(0, -1), false] : [line, true];
}

/** Reads the directives: the first lines, up to one that is not a directive. */
function readDirectives(physical: readonly string[]): { escape: EscapeToken } {
  let escape: EscapeToken = "\\";
  const seen = new Set<string>();
  for (const [at] of physical.entries()) {
    const { name, value } = readDirective(trimStart(cleaned(physical, at))) ?? {};
    if (name === undefined || !DIRECTIVES.has(name)) break;
    if (seen.has(name)) throw dockerfileError(at + 1, `only one ${name} parser directive can be used`);
    seen.add(name);
    if (name !== "escape") continue;
    if (value !== "\\" && value !== "`") {
      throw dockerfileError(at + 1, `invalid escape token '${value?.slice(0, 64) ?? ""}' does not match \` or \\`);
    }
    escape = value;
  }
  return { escape };
}

function readDirective(line: string): { name: string; value: string } | undefined {
  const [head, name = ""] = DIRECTIVE.exec(line) ?? [];
  // Without a character after the equals sign, the line is a comment.
  if (head === undefined || head.length === line.length) return undefined;
  const isTrimmed = (char: string): boolean => REGEXP_SPACE.includes(char);
  const rest = trimEnd(line.slice(head.length), isTrimmed);
  const start = Array.from(rest).findIndex((char) => !isTrimmed(char));
  return { name: name.toLowerCase(), value: start === -1 ? "" : rest.slice(start) };
}
