import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parse } from "yaml";

interface Workflow {
  jobs: Record<string, { steps: { run?: string }[] }>;
}

test("the hosted workflow runs .ci/run and no other command", () => {
  const text = readFileSync(new URL("../../.github/workflows/ci.yml", import.meta.url), "utf8");
  const { jobs } = parse(text) as Workflow;
  const commands = Object.values(jobs).flatMap(({ steps }) => steps.flatMap(({ run }) => run ?? []));
  expect(commands).toEqual([".ci/run"]);
});

test("CONTRIBUTING.md names scripts of package.json, and each measurement and writer of files among them", () => {
  const read = (name: string): string => readFileSync(new URL(`../../${name}`, import.meta.url), "utf8");
  const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
  const text = read("CONTRIBUTING.md");
  const named = new Set(Array.from(text.matchAll(/npm run ([\w:]+)/g), ([, name = ""]) => name));
  expect(Object.keys(scripts)).toEqual(expect.arrayContaining([...named]));
  const measurements = Object.keys(scripts).filter((name) => /^(?:bench|docs|format)\b/.test(name));
  expect([...named]).toEqual(expect.arrayContaining(measurements));
});
