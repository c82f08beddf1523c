import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { machineEnvironment } from "../../../test/testbed/environment.ts";

const root = join(import.meta.dirname, "../../..");
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "dos-server-package-"));
  await execa({
    cwd: root,
  })`npm pack --workspace server --include-workspace-root --ignore-scripts --pack-destination ${folder}`;
  const archives = readdirSync(folder).map((name) => join(folder, name));
  expect(archives).toHaveLength(2);
  const options = ["--prefix", folder, "--prefer-offline", "--omit=optional", "--no-audit", "--no-fund"];
  await execa({ cwd: folder, env: machineEnvironment() })`npm install --global ${options} ${archives}`;
}, 180_000);

afterAll(() => rmSync(folder, { recursive: true }));

/** Runs the command that is installed globally. */
const dos = async (...words: string[]) =>
  await execa(join(folder, "bin/docker-over-ssh"), words, { cwd: folder, reject: false });

describe("both packages, installed globally", () => {
  test.each(["serve", "guard"])("%s runs", async (command) => {
    expect(await dos(command, "--help")).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(new RegExp(`^Usage: docker-over-ssh ${command} `)) as string,
    });
  });

  test("a failure of the server package ends with the status of the command", async () => {
    expect(await dos("guard")).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining("no tenant is configured") as string,
    });
  });
});
