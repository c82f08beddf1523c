import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { readRules } from "../../../../../scripts/guard/rules.ts";
import { readGuardPage } from "../../../../../scripts/guard-reference.ts";

const { is, shouldBe } = readGuardPage();

test("docs/guard.md lists the calls and the rules of the source; `npm run docs` updates it", () => {
  expect(shouldBe).toContain("| `GET /images/json` | `image.list` |");
  expect(shouldBe).toContain("| `call.refused` |");
  expect(is).toBe(shouldBe);
});

test("each rule has a sentence; scripts/guard/rules.ts has those that are not next to their rule", () => {
  const without = [...shouldBe.matchAll(/^\| `([a-z0-9.-]+)` \| \|$/gm)].map(([, rule]) => rule);
  expect(without).toEqual([]);
});

test.for([
  ["new Refusal(`build.${key}`, why)", "is a template"],
  ['new Refusal(\n  "image.tag", why)', "is the name of a call"],
] as const)("reports an error for %s, which has no line in the table", ([source, error]) => {
  const folder = mkdtempSync(join(tmpdir(), "rules-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "refuses.ts"), source);
  expect(() => readRules(folder, new Set(["image.tag"]))).toThrow(error);
});
