import { expect, test } from "vitest";
import { readGuardPage } from "../../../../../scripts/guard-reference.ts";

const { is, shouldBe } = readGuardPage();

test("docs/guard.md has the calls and the rules of the source; `npm run docs` brings it up to date", () => {
  expect(shouldBe).toContain("| `GET /images/json` | `image.list` |");
  expect(shouldBe).toContain("| `call.refused` |");
  expect(is).toBe(shouldBe);
});

test("each rule has a sentence: scripts/guard/rules.ts has those that are not beside their rule", () => {
  const without = [...shouldBe.matchAll(/^\| `([a-z0-9.-]+)` \| \|$/gm)].map(([, rule]) => rule);
  expect(without).toEqual([]);
});
