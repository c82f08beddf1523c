import type { EscapeToken } from "./logical-lines.ts";

/** Returns the value of a variable, or undefined if it is not set. May throw if the value is unknown. */
export type Lookup = (name: string) => string | undefined;

/** Reports a text that the classic builder cannot expand, or that only a newer one can. */
export class ExpansionError extends Error {
  override readonly name = "ExpansionError";
}

const SPECIAL_PARAMETERS = "@*#?-$!0";
/** Maximum depth of variables in variables. Each level is a function call. */
const MAX_DEPTH = 50;
/** Maximum characters of a value. Without a limit, a few lines of ENV could create one of any size. */
const MAX_VALUE = 64 * 1024;

interface Scan {
  readonly chars: readonly string[];
  at: number;
  readonly escape: EscapeToken;
  readonly lookup: Lookup;
  depth: number;
}

/**
 * Expands variables in a word, and removes its quotes and escapes, like the classic builder: `$X`, `${X}`, and `${X-word}`, `${X+word}`, `${X?word}` with or
 * without a colon.
 *
 * @throws ExpansionError
 */
export function expand(word: string, escape: EscapeToken, lookup: Lookup): string {
  return untilStop({ chars: Array.from(word), at: 0, escape, lookup, depth: 0 }, undefined);
}

function untilStop(scan: Scan, stop: string | undefined): string {
  if (++scan.depth > MAX_DEPTH) throw new ExpansionError("variables are nested too deep");
  let result = "";
  for (let char = next(scan); char !== undefined; char = next(scan)) {
    if (char === stop) {
      scan.depth--;
      return result;
    }
    if (char === "'") result += singleQuoted(scan);
    else if (char === '"') result += doubleQuoted(scan);
    else if (char === "$") result = append(result, dollar(scan));
    // An escape at the end is ignored.
    else if (char === scan.escape) result += next(scan) ?? "";
    else result += char;
  }
  if (stop !== undefined) throw new ExpansionError("syntax error: missing '}'");
  return result;
}

function singleQuoted(scan: Scan): string {
  let result = "";
  for (let char = next(scan); char !== undefined; char = next(scan)) {
    if (char === "'") return result;
    result += char;
  }
  throw new ExpansionError("unexpected end of statement while looking for matching single-quote");
}

function doubleQuoted(scan: Scan): string {
  let result = "";
  for (let char = next(scan); char !== undefined; char = next(scan)) {
    if (char === '"') return result;
    if (char === "$") {
      result = append(result, dollar(scan));
    } else if (char === scan.escape) {
      // It escapes only these characters, and is literal before all others.
      const escaped = scan.chars[scan.at];
      const isEscape = escaped === '"' || escaped === "$" || escaped === scan.escape;
      if (isEscape) scan.at++;
      result += isEscape ? escaped : char;
    } else {
      result += char;
    }
  }
  throw new ExpansionError("unexpected end of statement while looking for matching double-quote");
}

function append(text: string, value: string): string {
  if (text.length + value.length > MAX_VALUE) throw new ExpansionError(`a value has more than ${MAX_VALUE} characters`);
  return text + value;
}

function dollar(scan: Scan): string {
  if (scan.chars[scan.at] !== "{") {
    const name = readName(scan);
    return name === "" ? "$" : (scan.lookup(name) ?? "");
  }
  scan.at++;
  const name = readName(scan);
  if (name === "") throw new ExpansionError("syntax error: bad substitution");
  const sign = next(scan);
  if (sign === "}") return scan.lookup(name) ?? "";
  const isEmptyUnset = sign === ":";
  const modifier = isEmptyUnset ? next(scan) : sign;
  if (modifier === undefined) throw new ExpansionError("syntax error: missing '}'");
  // Only the newest engines support patterns (`#`, `%`, `/`).
  if (!"-+?".includes(modifier)) throw new ExpansionError(`unsupported modifier (${modifier}) in substitution`);
  const word = untilStop(scan, "}");
  const value = scan.lookup(name);
  const isSet = value !== undefined && !(isEmptyUnset && value === "");
  if (modifier === "+") return isSet ? word : "";
  if (isSet) return value;
  if (modifier === "-") return word;
  throw new ExpansionError(`${name}: ${word || "is not allowed to be unset"}`);
}

function readName(scan: Scan): string {
  const first = scan.chars[scan.at];
  if (first === undefined) return "";
  if (/\p{Nd}/u.test(first)) return readWhile(scan, /\p{Nd}/u);
  if (SPECIAL_PARAMETERS.includes(first)) {
    scan.at++;
    return first;
  }
  return readWhile(scan, /[\p{L}\p{Nd}_]/u);
}

function readWhile(scan: Scan, form: RegExp): string {
  let name = "";
  for (let char = scan.chars[scan.at]; char !== undefined && form.test(char); char = scan.chars[scan.at]) {
    name += char;
    scan.at++;
  }
  return name;
}

function next(scan: Scan): string | undefined {
  const char = scan.chars[scan.at];
  scan.at++;
  return char;
}
