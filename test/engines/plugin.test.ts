import { join } from "node:path";
import { execa } from "execa";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../unit/engine/fake-engine.ts";

const hasDocker = (await execa({ reject: false })`docker --version`).exitCode === 0;
const program = [process.execPath, join(import.meta.dirname, "../../bin/docker-over-ssh.js")];

/** Runs a command with this folder of docker settings. It needs no engine. */
async function run(folder: string, [command = "", ...rest]: string[]) {
  const env = { DOCKER_CONFIG: folder, HOME: folder, DOCKER_HOST: "unix:///nowhere.sock" };
  const { exitCode, stderr, stdout } = await execa(command, rest, { env, reject: false, stdin: "ignore" });
  return { exitCode, stderr, stdout };
}

describe.skipIf(!hasDocker)(
  `the real docker command with the plugins${hasDocker ? "" : " (docker is not installed)"}`,
  () => {
    test("lists the plugins, and runs them with docker's own options", async () => {
      await using folder = await temporaryFolder();
      await run(folder.path, [...program, "plugin", "install"]);
      expect((await run(folder.path, ["docker", "--help"])).stdout).toMatch(/^ {2}pushssh\* +Send an image/m);
      expect((await run(folder.path, ["docker", "pushssh", "--help"])).stdout).toContain(
        "Usage: docker-over-ssh push ",
      );
      const engine = async (...words: string[]) => (await run(folder.path, ["docker", ...words])).stderr;
      expect(await engine("pushssh", "app:v2", "true")).toContain("unix:///nowhere.sock (DOCKER_HOST)");
      expect(await engine("-H", "unix:///other.sock", "pushssh", "app:v2", "true")).toContain("unix:///other.sock");
      expect(await engine("--context", "default", "pushssh", "app:v2", "true")).toContain("(context default)");
      expect(await engine("-D", "pullssh", "app:v2", "true")).toContain("unix:///nowhere.sock");
    });
  },
);
