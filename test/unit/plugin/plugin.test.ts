import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../engine/fake-engine.ts";
import { program } from "../command-line/cli.ts";

/** Runs docker-over-ssh, or docker, with this folder of docker settings. */
async function run(folder: string, words: string[]) {
  const [command = "", ...rest] = words;
  const env = { DOCKER_CONFIG: folder, HOME: folder, DOCKER_HOST: "unix:///nowhere.sock" };
  const { exitCode, stderr, stdout } = await execa(command, rest, { env, reject: false, stdin: "ignore" });
  return { exitCode, stderr, stdout };
}
const dos = async (folder: string, ...words: string[]) => await run(folder, [...program, ...words]);

describe("plugin", () => {
  test("install writes two launchers, once; uninstall removes them", async () => {
    await using folder = await temporaryFolder();
    const [push, pull] = ["pushssh", "pullssh"].map((name) => join(folder.path, `cli-plugins/docker-${name}`));
    const first = await dos(folder.path, "plugin", "install");
    expect(first.stderr).toBe(
      `docker-over-ssh: wrote the launcher ${push}\ndocker-over-ssh: wrote the launcher ${pull}\n`.trim(),
    );
    expect((await dos(folder.path, "plugin", "install")).stderr).toContain(`already present: the launcher ${push}`);
    expect((await dos(folder.path, "plugin", "uninstall")).exitCode).toBe(0);
    expect(await readdir(join(folder.path, "cli-plugins"))).toEqual([]);
  });

  test("leaves a plugin that another program has written", async () => {
    await using folder = await temporaryFolder();
    await mkdir(join(folder.path, "cli-plugins"));
    await writeFile(join(folder.path, "cli-plugins/docker-pushssh"), "#!/bin/sh\necho other\n");
    const installed = await dos(folder.path, "plugin", "install");
    expect(installed.exitCode).toBe(13);
    expect(installed.stderr).toContain("another program has written it");
    expect((await dos(folder.path, "plugin", "uninstall")).stderr).toContain("setup has not written it");
    expect(await readdir(join(folder.path, "cli-plugins"))).toEqual(["docker-pushssh"]);
  });

  test("accepts only two actions", async () => {
    await using folder = await temporaryFolder();
    expect((await dos(folder.path, "plugin", "update")).exitCode).toBe(2);
  });
});
