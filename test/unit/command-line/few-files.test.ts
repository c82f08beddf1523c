/** A side whose process cannot open more files, pipes and connections (`ulimit -n`). */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { expect, test } from "vitest";
import { explainError } from "../../../src/explain-error.ts";
import { Failure } from "../../../src/output/errors.ts";
import { makeImage } from "../image/make-image.ts";
import { folder, program, settings } from "./cli.ts";
import { layoutOf, writeTree } from "./images.ts";

await writeTree(join(folder, "layout"), layoutOf([{ image: await makeImage([3000, 700]), ref: "app:v1" }]));
/** Opens all but two of the files that the limit allows, before the command is loaded. Loading needs one file at a time. */
await writeFile(
  join(folder, "hook.cjs"),
  `const { openSync, closeSync } = require("node:fs");
  const files = [];
  try {
    for (;;) files.push(openSync("/dev/null"));
  } catch {
    for (const file of files.slice(-2)) closeSync(file);
  }`,
);

/** Returns the command `docker-over-ssh WORDS…` in a process that can open only two files. */
const withFew = (...words: string[]): string[] => {
  const hook = `NODE_OPTIONS=--require ${join(folder, "hook.cjs")}`;
  return ["sh", "-c", 'ulimit -n 200; exec "$@"', "sh", "env", hook, ...program, ...words];
};

test.skipIf(process.platform === "win32").each([
  ["the initiator", withFew("push", "oci:layout", "true")],
  ["the spawned side", [...program, "push", "oci:layout", ...withFew("pull", "--to", "oci:target", "app:v1")]],
])("the error suggests ulimit -n: %s", async (_, [file = "", ...words]) => {
  const { exitCode, stderr } = await execa(file, words, settings);
  expect(stderr).toContain("no more files can be opened: EMFILE");
  expect(stderr).toContain("ulimit -n 1024");
  expect(exitCode).toBe(1);
});

test("EMFILE as the cause of another failure has the same hint", () => {
  const cause = Object.assign(new Error("EMFILE: too many open files"), { code: "EMFILE" });
  const failure = new Failure("engine-unreachable", "cannot reach the engine", { cause: new Error("dial", { cause }) });
  expect(explainError(failure)).toMatchObject({
    code: "transfer-failed",
    hint: expect.stringContaining("ulimit") as string,
  });
});
