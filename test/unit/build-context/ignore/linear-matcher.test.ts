import { describe, expect, test } from "vitest";
import { dockerPattern } from "../../../../src/build-context/ignore/docker-pattern.ts";
import { javaScriptSource, readGoRegexp } from "../../../../src/build-context/ignore/go-regexp.ts";
import { linearMatcher } from "../../../../src/build-context/ignore/linear-matcher.ts";
import { pseudoRandom } from "../../pseudo-random.ts";

const PARTS =
  String.raw`a b c [^/]* .* (.*/)? / [^/] [ab] [^a] [a-c]* a{2} b{0,1} c{1,} ^ $ | \. \d \b \* é ☺ [[:alpha:]] {x}`.split(
    " ",
  );
const CHARS = Array.from("aaabbc/.*é☺{x}1\n");

describe("a linear matcher", () => {
  test("agrees with JavaScript's regular expressions", () => {
    const random = pseudoRandom(7);
    const several = (values: readonly string[], most: number): string =>
      Array.from({ length: Math.floor(random() * most) }, () => values[Math.floor(random() * values.length)]).join("");
    for (let round = 0; round < 5000; round += 1) {
      const source = `^${several(PARTS, 7)}$`;
      const alternatives = readGoRegexp(source);
      const regexp = new RegExp(javaScriptSource(alternatives), "u");
      const matches = linearMatcher(alternatives);
      for (let count = 0; count < 5; count += 1) {
        const path = several(CHARS, 9);
        expect([source, path, matches(path)]).toEqual([source, path, regexp.test(path)]);
      }
    }
  });

  // JavaScript's regular expressions would take minutes to years for each.
  test.each([
    ["*a*a*a*a*a*a*a*b", "a".repeat(250), `${"a".repeat(250)}b`],
    ["**/a/**/a/**/a/**/b", `${"a/".repeat(2000)}a`, `${"a/".repeat(2000)}b`],
    ["[a]*[a]*[a]*[a]*[a]*b", "a".repeat(250), `${"a".repeat(250)}b`],
  ])("matches a pattern that is designed to take long: %s", (pattern, other, match) => {
    expect(dockerPattern(pattern)?.matches(other)).toBe(false);
    expect(dockerPattern(pattern)?.matches(match)).toBe(true);
  });

  test("does not grow without limit", () => {
    expect(() => linearMatcher(readGoRegexp("a{1000}".repeat(20)))).toThrow(SyntaxError);
  });
});
