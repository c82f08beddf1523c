/** Converts escapes and classes of Go's regular expressions (RE2) to JavaScript's syntax with the flag `u`. */

export const literal = (char: string): string => `\\u{${char.codePointAt(0)?.toString(16)}}`;

const SPACES = String.raw`\t\n\f\r `;
const ESCAPES: Record<string, string> = {
  ...Object.fromEntries(Array.from("dDwWbBtnfrv", (letter) => [letter, `\\${letter}`])),
  s: `[${SPACES}]`,
  S: `[^${SPACES}]`,
  a: String.raw`\x07`,
  A: "^",
  z: "$",
};

export function escaped(char: string | undefined): string {
  if (char === undefined) throw new SyntaxError("trailing backslash");
  if (/^[\x21-\x7f]$/.test(char) && !/[0-9A-Za-z]/.test(char)) return literal(char);
  return ESCAPES[char] ?? refuse(`\\${char} has no meaning`);
}

/** The named POSIX classes */
const NAMED: Record<string, string> = {
  alnum: "0-9A-Za-z",
  alpha: "A-Za-z",
  ascii: String.raw`\x00-\x7f`,
  blank: String.raw`\t `,
  cntrl: String.raw`\x00-\x1f\x7f`,
  digit: "0-9",
  graph: "!-~",
  lower: "a-z",
  print: " -~",
  punct: String.raw`!-\/:-@\[-\x60\{-~`,
  space: String.raw`\t\n\v\f\r `,
  upper: "A-Z",
  word: "0-9A-Za-z_",
  xdigit: "0-9A-Fa-f",
};
const IN_CLASS: Record<string, string> = { ...ESCAPES, s: SPACES, S: String.raw`\x00-\x08\x0b\x0e-\x1f!-\u{10ffff}` };

/** Reads a class. `start` is the position after its `[`, `next` the position after its `]`. */
export function readClass(chars: readonly string[], start: number): { text: string; next: number } {
  let at = start;
  let items = "";
  const isNegated = chars[at] === "^";
  if (isNegated) at += 1;
  const first = at;
  while (chars[at] !== "]" || at === first) {
    const named = /^\[:([a-z]+):\]/.exec(chars.slice(at, at + 12).join(""));
    if (named) {
      items += NAMED[named[1] as string] ?? refuse(`${named[0]} has no meaning`);
      at += named[0].length;
      continue;
    }
    const low = readClassChar(chars, at);
    at = low.next;
    if (low.code === undefined || chars[at] !== "-" || chars[at + 1] === "]") {
      items += low.text;
      continue;
    }
    const high = readClassChar(chars, at + 1);
    at = high.next;
    if (high.code === undefined || high.code < low.code) refuse("a range that is out of order");
    items += `${low.text}-${high.text}`;
  }
  return { text: `[${isNegated ? "^" : ""}${items}]`, next: at + 1 };
}

interface ClassChar {
  text: string;
  /** Undefined for a set such as `\d` */
  code: number | undefined;
  next: number;
}

function readClassChar(chars: readonly string[], at: number): ClassChar {
  const char = chars[at] ?? refuse("a class without an end");
  if (char !== "\\") return { text: literal(char), code: char.codePointAt(0), next: at + 1 };
  const after = chars[at + 1] ?? refuse("a class without an end");
  if (/[dDwWsS]/.test(after)) return { text: IN_CLASS[after] as string, code: undefined, next: at + 2 };
  if (/[bBAz]/.test(after)) refuse(`\\${after} has no meaning in a class`);
  const text = escaped(after);
  const code = /[a-z]/.test(after)
    ? ({ t: 9, n: 10, v: 11, f: 12, r: 13, a: 7 } as Record<string, number>)[after]
    : after.codePointAt(0);
  return { text, code, next: at + 2 };
}

export function refuse(reason: string): never {
  throw new SyntaxError(reason);
}
