import { beforeEach, expect, test, vi } from "vitest";
import { parseCommandLine } from "../../../src/cli.ts";
import type { HostConnection } from "../../../src/request.ts";

const terminals = vi.hoisted(() => new Set<number>());
vi.mock("node:tty", async (original) => ({
  ...(await original<object>()),
  isatty: (descriptor: number) => terminals.has(descriptor),
}));
beforeEach(() => [0, 2].forEach((descriptor) => terminals.add(descriptor)));

/** Returns whether the transfer of a command line may ask whether to send Node. */
async function mayPrompt(words: string, env: NodeJS.ProcessEnv = {}): Promise<boolean> {
  const argv = ["node", "docker-over-ssh", "push", ...words.split(" ").filter(Boolean), "app", "ssh://prod"];
  const parsed = await parseCommandLine(argv, env, { out: () => {}, err: () => {} });
  if (!("job" in parsed)) expect.fail(`status ${parsed.exitStatus}`);
  const { connection } = parsed.job.batch?.remotes[0] ?? expect.fail("no transfer");
  return (connection as HostConnection).programs.includes("node-sent");
}

test("asks at a terminal whether to send Node", async () => {
  expect(await mayPrompt("")).toBe(true);
  expect(await mayPrompt("", { CI: "" })).toBe(true);
});

test.each<[string, NodeJS.ProcessEnv]>([
  ["--quiet", {}],
  ["--no-progress", {}],
  ["", { CI: "true" }],
  ["--far engine", {}],
])("does not ask with %j in the environment %j", async (words, env) => {
  expect(await mayPrompt(words, env)).toBe(false);
});

test.each([0, 2])("does not ask if descriptor %d is not a terminal", async (descriptor) => {
  terminals.delete(descriptor);
  expect(await mayPrompt("")).toBe(false);
});
