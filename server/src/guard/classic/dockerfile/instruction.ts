import { trimSpace } from "docker-over-ssh/builds";
import { dockerfileError } from "./dockerfile-error.ts";
import { isSpace, type EscapeToken, type LogicalLine } from "./logical-lines.ts";

/** An instruction, split like in the classic builder. */
export interface Instruction {
  /** In upper case, e.g. `COPY` */
  name: string;
  /** e.g. `--from=0`, without quotes and escapes */
  flags: readonly string[];
  /** The text after the flags, verbatim */
  args: string;
  /** The text after the name, verbatim: the flags and `args` */
  rest: string;
  /** The whole text that the classic builder prints */
  text: string;
  /** The number of its first line, from 1 */
  line: number;
}

/** Instructions of the classic builder, from Docker 20.10 to 28. */
const NAMES: ReadonlySet<string> = new Set([
  "ADD",
  "ARG",
  "CMD",
  "COPY",
  "ENTRYPOINT",
  "ENV",
  "EXPOSE",
  "FROM",
  "HEALTHCHECK",
  "LABEL",
  "MAINTAINER",
  "ONBUILD",
  "RUN",
  "SHELL",
  "STOPSIGNAL",
  "USER",
  "VOLUME",
  "WORKDIR",
]);
/** The spaces between words. Other Unicode spaces are parts of words. */
const BETWEEN_WORDS = /[\t\v\f\r ]+/;

/** Splits an instruction. Throws a Refusal for an unknown one. */
export function readInstruction({ text, number }: LogicalLine, escape: EscapeToken): Instruction {
  const trimmed = trimSpace(text);
  const gap = BETWEEN_WORDS.exec(trimmed);
  const given = gap === null ? trimmed : trimmed.slice(0, gap.index);
  const name = given.toUpperCase();
  // Engines treat non-ASCII characters whose lower case is ASCII differently.
  if (!/^[A-Za-z]+$/.test(given) || !NAMES.has(name)) {
    throw dockerfileError(number, `unknown instruction: ${given.slice(0, 64).toUpperCase()}`);
  }
  const rest = gap === null ? "" : trimmed.slice(gap.index + gap[0].length);
  const { flags, args } = splitFlags(rest, escape);
  return { name, flags, args: trimSpace(args), rest: trimSpace(rest), text: trimmed, line: number };
}

/** Splits the flags from a text: the words at its beginning that begin with `--`, up to one that does not, or up to `--` alone. Removes quotes and escapes. */
function splitFlags(rest: string, escape: EscapeToken): { flags: string[]; args: string } {
  const flags: string[] = [];
  let at = 0;
  for (;;) {
    while (at < rest.length && isSpace(rest.charAt(at))) at++;
    if (!rest.startsWith("--", at)) return { flags, args: rest.slice(at) };
    const { word, end, isWritten } = readFlag(rest, at, escape);
    at = end;
    if (word === "--") return { flags, args: rest.slice(at) };
    if (isWritten) flags.push(word);
  }
}

function readFlag(rest: string, from: number, escape: EscapeToken): { word: string; end: number; isWritten: boolean } {
  let word = "";
  let quote: string | undefined;
  let hasQuotes = false;
  let at = from;
  for (; at < rest.length; at++) {
    let char = rest.charAt(at);
    if (quote === undefined && isSpace(char)) break;
    if (char === quote) {
      quote = undefined;
      continue;
    }
    if (quote === undefined && (char === "'" || char === '"')) {
      quote = char;
      hasQuotes = true;
      continue;
    }
    if (char === escape) {
      at++;
      char = rest.charAt(at);
    }
    word += char;
  }
  return { word, end: Math.min(at, rest.length), isWritten: hasQuotes || word !== "" };
}

/** Returns the flags of an instruction by their names, e.g. `from`. Throws a Refusal for an unknown or a duplicate flag. */
export function flagsOf({ flags, line }: Instruction, known: readonly string[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const flag of flags) {
    const [, name = "", value] = /^--([^=]*)(?:=(.*))?$/s.exec(flag) ?? [];
    if (!known.includes(name)) throw dockerfileError(line, `unknown flag: --${name}`);
    if (found.has(name) && name !== "exclude") throw dockerfileError(line, `duplicate flag specified: --${name}`);
    // Engines treat quotes, escapes and non-ASCII bytes in flags differently. No flag needs them.
    if (!/^[\x21-\x7e]*$/.test(flag) || /['"\\`]/.test(flag)) {
      throw dockerfileError(line, `the flag --${name} has a character that is not allowed in a flag`);
    }
    found.set(name, value ?? "");
  }
  return found;
}

/** Returns the words of ADD, COPY and VOLUME, which are a JSON list or separated by spaces. */
export function words({ args, line }: Instruction): string[] {
  const list = jsonList(args);
  if (list === "mixed") {
    throw dockerfileError(line, "when using JSON array syntax, arrays must be comprised of strings only");
  }
  return list ?? (args === "" ? [] : args.split(BETWEEN_WORDS));
}

function jsonList(args: string): string[] | "mixed" | undefined {
  if (!args.startsWith("[")) return undefined;
  let list: unknown;
  try {
    list = JSON.parse(args);
  } catch {
    return undefined;
  }
  if (!Array.isArray(list)) return undefined;
  return list.every((word): word is string => typeof word === "string") ? list : "mixed";
}

/** Splits `A=1 B="x y"` at spaces outside of quotes. The words keep their quotes. */
export function quotedWords(args: string, escape: EscapeToken): string[] {
  const found: string[] = [];
  let word = "";
  let quote: string | undefined;
  for (let at = 0; at < args.length; at++) {
    const char = args.charAt(at);
    if (quote === undefined && isSpace(char)) {
      if (word !== "") found.push(word);
      word = "";
    } else if (char === escape && quote !== "'") {
      // At the end, an escape is ignored.
      if (at + 1 < args.length) word += char + args.charAt(++at);
    } else {
      if (char === quote) quote = undefined;
      else if (quote === undefined && (char === "'" || char === '"')) quote = char;
      word += char;
    }
  }
  return word === "" ? found : [...found, word];
}

/** Returns the pairs of ENV and LABEL, written as `A=1 B=2` or as `A the rest`. */
export function pairs({ args, name, line }: Instruction, escape: EscapeToken): [key: string, value: string][] {
  const found = quotedWords(args, escape);
  if (found.length === 0) throw dockerfileError(line, `${name} requires at least one argument`);
  if (found[0]?.includes("=") !== true) {
    const gap = BETWEEN_WORDS.exec(args);
    if (gap === null) throw dockerfileError(line, `${name} must have two arguments`);
    return [[args.slice(0, gap.index), args.slice(gap.index + gap[0].length)]];
  }
  return found.map((word) => {
    const equals = word.indexOf("=");
    if (equals === -1) {
      throw dockerfileError(line, `Syntax error - can't find = in "${word}". Must be of the form: name=value`);
    }
    if (equals === 0) throw dockerfileError(line, `${name} names can not be blank`);
    return [word.slice(0, equals), word.slice(equals + 1)];
  });
}
