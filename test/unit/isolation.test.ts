import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");
/** Programs that a unit test could run by mistake. They must be those of the test, or absent. */
const PROGRAMS = ["docker-over-ssh", "docker", "podman", "ssh"];

describe("a test finds nothing of the machine:", () => {
  test.each(PROGRAMS)("no %s on PATH", async (name) => {
    const { stdout, exitCode } = await execa({ reject: false })`sh -c ${`command -v ${name}`}`;
    expect({ stdout, exitCode }).toMatchObject({ stdout: "" });
    expect(exitCode).not.toBe(0);
  });

  test("no docker contexts, ssh config and npm settings in the home", async () => {
    const entries = await readdir(homedir());
    expect(entries.filter((name) => [".docker", ".ssh", ".config", ".npmrc", ".bashrc"].includes(name))).toEqual([]);
  });

  test("no settings of docker, of this tool, of proxies, of Node, of a desktop; messages in English", () => {
    const foreign = /^(?:DOCKER_|LOCAL_DOCKER_|XDG_|NODE_OPTIONS$|NODE_USE_ENV_PROXY$|LC_|LANGUAGE$|SSH_)|_proxy$/i;
    expect(Object.keys(process.env).filter((name) => foreign.test(name))).toEqual([]);
    expect(process.env["LANG"]).toBe("C.UTF-8");
  });
});

/** A machine with all common settings. */
describe("on a machine where the tool is installed, with contexts, an ssh config, proxies and a Turkish locale", () => {
  let folder: string;
  let hostile: Record<string, string>;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "isolation-"));
    const [bin, home] = [join(folder, "bin"), join(folder, "home")];
    for (const path of [bin, join(home, ".docker"), join(home, ".ssh")]) await mkdir(path, { recursive: true });
    for (const name of PROGRAMS) {
      await writeFile(join(bin, name), "#!/bin/sh\nexit 0\n");
      await chmod(join(bin, name), 0o755);
    }
    await writeFile(join(home, ".docker/config.json"), JSON.stringify({ currentContext: "prod" }));
    await writeFile(join(home, ".ssh/config"), "Host *\n  ProxyCommand false\n");
    hostile = {
      PATH: [bin, process.env["PATH"] ?? ""].join(delimiter),
      HOME: home,
      DOCKER_HOST: "tcp://192.0.2.1:2375",
      DOCKER_CONTEXT: "prod",
      DOCKER_CONFIG: join(home, ".docker"),
      DOCKER_REGISTRY_NGROK: "true",
      LOCAL_DOCKER_REGISTRY_PORT: "1",
      XDG_CACHE_HOME: home,
      XDG_RUNTIME_DIR: home,
      NODE_OPTIONS: "--no-deprecation",
      LANG: "tr_TR.UTF-8",
      LC_ALL: "tr_TR.UTF-8",
      HTTP_PROXY: "http://127.0.0.1:9",
      https_proxy: "http://127.0.0.1:9",
      SSH_AUTH_SOCK: "/nowhere",
    };
  });
  afterAll(async () => await rm(folder, { recursive: true }));

  test("the tests above pass", async () => {
    const vitest = join(root, "node_modules/vitest/vitest.mjs");
    const these = ["--project", "unit", "test/unit/isolation.test.ts", "-t", "a test finds nothing of the machine"];
    const { exitCode, stdout, stderr } = await execa(process.execPath, [vitest, "run", ...these], {
      cwd: root,
      env: hostile,
      extendEnv: false,
      reject: false,
    });
    expect({ exitCode, stdout, stderr }).toMatchObject({ exitCode: 0 });
    expect(stdout).toMatch(/6 passed/);
  });
});
