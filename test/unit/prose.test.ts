import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";

const root = resolve(import.meta.dirname, "../..");
const FOLDERS = ["bench", "demo", "docs", "examples", "scripts", "server", "src", "test"];
/** Generated files, dependencies, and this file, which contains all that it forbids. */
const SKIPPED = /(^|\/)(node_modules|dist|gen)\/|serve-api\.md$|prose\.test\.ts$/;

/** Forms of sentences that readers stumble over, in prose, comments and titles of tests. See "Words" in CONTRIBUTING.md. */
const FORBIDDEN: Record<string, RegExp> = {
  'a sentence that begins with "What" and asks nothing':
    /(?:^|[.!:;] |\* |\/\/ |> |\| |- |[("'`])What\b(?![^.]*\?)|\b(?:test|it|describe)\b[^"'`]*\(["'`]what /,
  '"is told", "is said": name who reports it': /\b(?:is|are|was|were|be|been|being) (?:\w+ly )?(?:said|told)\b/,
  'a trailing "so", "too" or "then"':
    /(?<!\b(?:until|since|by|if|even|or|and) )\b(?:so|too|then)[.;](?:\s|$|["'`])|, too\b/,
};

const files = [
  ...readdirSync(root).filter((name) => name.endsWith(".md")),
  ...FOLDERS.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((name) => `${folder}/${name}`),
  ),
].filter((name) => /\.(ts|js|mjs|md|sh|ya?ml)$/.test(name) && !SKIPPED.test(name));
const lines = files.flatMap((file) =>
  readFileSync(join(root, file), "utf8")
    .split("\n")
    .map((text, index) => ({ text, at: `${file}:${index + 1}` })),
);

test.each(Object.entries(FORBIDDEN))("no line has %s", (_, pattern) => {
  const found = lines.filter(({ text }) => pattern.test(text));
  expect(found.map(({ at, text }) => `${at}: ${text.trim()}`)).toEqual([]);
});

test("no paragraph of README.md has more than five lines", () => {
  const text = readFileSync(join(root, "README.md"), "utf8").replaceAll(/^```[\s\S]*?^```/gm, "");
  const paragraphs = text.split(/\n\s*\n/).filter((paragraph) => !/^(\||- |\d+\. )/.test(paragraph));
  expect(paragraphs.filter((paragraph) => paragraph.split("\n").length > 5)).toEqual([]);
});

describe.each(["docs/architecture.md", "docs/architecture-server.md"])("the glossary of %s", (page) => {
  const [, glossary = ""] = /\n## Glossary\n([\s\S]*?)\n## /.exec(readFileSync(join(root, page), "utf8")) ?? [];

  test("has ten to twenty rows", () => {
    const rows = glossary.match(/^\| \*\*/gm) ?? [];
    expect(rows.length).toBeGreaterThanOrEqual(10);
    expect(rows.length).toBeLessThanOrEqual(20);
  });
});
