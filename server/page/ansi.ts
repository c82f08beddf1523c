/**
 * Parses colours and other attributes of text (SGR, ECMA-48 8.3.117) in a line of a log. Removes any other control
 * sequence or character. Maps colours of 256 and of 16 million to the nearest of the terminal's 16, which have enough
 * contrast on the page, in light and dark.
 */
export interface Span {
  text: string;
  /** Classes of style.css, e.g. `bold fg-1`; empty: plain text */
  classes: string;
}

interface Style {
  flags: ReadonlySet<string>;
  fg?: number | undefined;
  bg?: number | undefined;
}

const PLAIN: Style = { flags: new Set() };

/**
 * CSI sequences; OSC, DCS and others up to their terminator; two-character sequences; and any other control character
 * except the tab.
 */
const CONTROL =
  /\u001b\[([0-?]*)[ -/]*([@-~]?)|\u001b[\]PX^_][^\u0007\u001b\u009c]*(?:\u0007|\u001b\\|\u009c|$)|\u001b[ -/]*[0-~]|[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/g;

export function parseAnsi(line: string): Span[] {
  if (!/[\u0000-\u001f\u007f-\u009f]/.test(line)) return line === "" ? [] : [{ text: line, classes: "" }];
  const spans: Span[] = [];
  let style = PLAIN;
  let from = 0;
  const add = (text: string): void => {
    const classes = classesOf(style);
    const last = spans.at(-1);
    if (text === "") return;
    if (last?.classes === classes) last.text += text;
    else spans.push({ text, classes });
  };
  for (const match of line.matchAll(CONTROL)) {
    add(line.slice(from, match.index));
    from = match.index + match[0].length;
    const [, parameters, final] = match;
    if (final === "m" && parameters !== undefined && /^[\d;:]*$/.test(parameters)) style = styled(style, parameters);
  }
  add(line.slice(from));
  return spans;
}

const FLAGS: Record<number, string> = { 1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "inverse", 9: "strike" };
const ENDS: Record<number, readonly string[]> = {
  22: ["bold", "dim"],
  23: ["italic"],
  24: ["underline"],
  27: ["inverse"],
  29: ["strike"],
};

function styled(before: Style, parameters: string): Style {
  let { flags, fg, bg } = before;
  const codes = parameters.split(";");
  for (let at = 0; at < codes.length; at += 1) {
    const [first = "", ...rest] = (codes[at] ?? "").split(":");
    const code = Number(first);
    if (code === 0) [flags, fg, bg] = [PLAIN.flags, undefined, undefined];
    else if (code in FLAGS) flags = new Set([...flags, FLAGS[code] ?? ""]);
    else if (code in ENDS) flags = new Set([...flags].filter((flag) => !ENDS[code]?.includes(flag)));
    else if (code === 39) fg = undefined;
    else if (code === 49) bg = undefined;
    else if (code === 38 || code === 48 || code === 58) {
      const { colour, taken } = rest.length > 0 ? extended(rest) : extended(codes.slice(at + 1));
      if (rest.length === 0) at += taken;
      if (code === 38) fg = colour ?? fg;
      if (code === 48) bg = colour ?? bg;
    } else if (code >= 30 && code <= 37) fg = code - 30;
    else if (code >= 40 && code <= 47) bg = code - 40;
    else if (code >= 90 && code <= 97) fg = code - 82;
    else if (code >= 100 && code <= 107) bg = code - 92;
  }
  return { flags, fg, bg };
}

/** Parses `5;N` or `2;R;G;B`; the form with colons may contain a colour space before the red: `2::R:G:B`. */
function extended(codes: readonly string[]): { colour: number | undefined; taken: number } {
  const numbers = codes.map(Number);
  if (numbers[0] === 5) return { colour: nearestOf256(numbers[1] ?? 0), taken: 2 };
  if (numbers[0] !== 2) return { colour: undefined, taken: 1 };
  const [red = 0, green = 0, blue = 0] = codes.length === 5 && codes[1] === "" ? numbers.slice(2) : numbers.slice(1);
  return { colour: nearest(red, green, blue), taken: 4 };
}

const CUBE = [0, 95, 135, 175, 215, 255];

function nearestOf256(index: number): number {
  if (index < 16) return index;
  if (index >= 232)
    return nearest(...([8, 8, 8].map((start) => start + (index - 232) * 10) as [number, number, number]));
  const at = index - 16;
  return nearest(CUBE[Math.floor(at / 36)] ?? 0, CUBE[Math.floor(at / 6) % 6] ?? 0, CUBE[at % 6] ?? 0);
}

/** Finds the nearest of 16 by hue: the bright ones of red, green and blue. Grey is mapped by its brightness. */
function nearest(red: number, green: number, blue: number): number {
  const [most, least] = [Math.max(red, green, blue), Math.min(red, green, blue)];
  if (most - least < 40) return most < 64 ? 0 : most < 150 ? 8 : most < 220 ? 7 : 15;
  const middle = (most + least) / 2;
  const hue = (red > middle ? 1 : 0) + (green > middle ? 2 : 0) + (blue > middle ? 4 : 0);
  return most > 200 ? hue + 8 : hue;
}

/** A background sets the colour of its text: see style.css. */
function classesOf({ flags, fg, bg }: Style): string {
  const classes = [...flags];
  if (fg !== undefined) classes.push(`fg-${fg}`);
  if (bg !== undefined) classes.push(`bg-${bg}`);
  return classes.join(" ");
}
