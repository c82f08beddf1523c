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
