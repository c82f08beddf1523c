import { describe, expect, test } from "vitest";
import { parseAnsi } from "../../../page/ansi.ts";

const ESC = "\u001b";

/** Returns the spans as `text{classes}` */
function spans(line: string): string {
  return parseAnsi(line)
    .map(({ text, classes }) => (classes === "" ? text : `${text}{${classes}}`))
    .join("|");
}

describe("colours of a log", () => {
  test.each([
    ["plain", "plain"],
    ["", ""],
    [`${ESC}[31mred${ESC}[0m plain`, "red{fg-1}| plain"],
    [`${ESC}[31mred${ESC}[m plain`, "red{fg-1}| plain"],
    [`${ESC}[1;92mbold${ESC}[22m not${ESC}[39m plain`, "bold{bold fg-10}| not{fg-10}| plain"],
    [`${ESC}[41;37mon red${ESC}[49m`, "on red{fg-7 bg-1}"],
    [`${ESC}[2;3;4;7;9mall${ESC}[23;24;27;29m dim`, "all{dim italic underline inverse strike}| dim{dim}"],
    [`${ESC}[38;5;196mcube${ESC}[38;5;244mgrey${ESC}[38;5;3mplain`, "cube{fg-9}|grey{fg-8}|plain{fg-3}"],
    [`${ESC}[38;2;80;200;120mgreen${ESC}[0m`, "green{fg-2}"],
    [`${ESC}[38:2::255:0:0mcolons${ESC}[0m`, "colons{fg-9}"],
    [`${ESC}[58;5;1;4munderlined`, "underlined{underline}"],
  ])("%j", (line, expected) => {
    expect(spans(line)).toBe(expected);
  });

  test.each([
    ["moves of the cursor", `a${ESC}[2K${ESC}[1Gb`, "ab"],
    ["a title", `a${ESC}]0;title\u0007b`, "ab"],
    ["a link", `a${ESC}]8;;https://example.com${ESC}\\b${ESC}]8;;${ESC}\\`, "ab"],
    ["private parameters", `a${ESC}[?25lb${ESC}[>4;2mc`, "abc"],
    ["a sequence that is cut off", `a${ESC}[3`, "a"],
    ["an unknown attribute", `${ESC}[77ma`, "a"],
    ["other control characters", "a\u0000\u0008\u009bb\tc", "ab\tc"],
  ])("removes %s", (_, line, expected) => {
    expect(spans(line)).toBe(expected);
  });

  test("reduces a long line of incomplete sequences to nothing", () => {
    const line = `${ESC}]${ESC}[`.repeat(50_000);
    expect(spans(line)).toBe("");
  });
});
