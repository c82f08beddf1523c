import { readdirSync } from "node:fs";
import { cp, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../engine/fake-engine.ts";

const root = join(import.meta.dirname, "../../..");

/** Installs this package as npm does, next to a server package with this code, or without one. */
async function installed(folder: string, { command, server }: { command: string; server?: string }) {
  const modules = join(folder, "node_modules");
  for (const name of ["bin", "dist/start.cjs", "package.json"]) {
    await cp(join(root, name), join(modules, "docker-over-ssh", name), { recursive: true });
  }
  const file = readdirSync(join(root, "dist")).find((name) => name.startsWith("command-")) ?? "";
  await symlink(join(root, "dist", file), join(modules, "docker-over-ssh/dist", file));
  if (server !== undefined) {
    await mkdir(join(modules, "docker-over-ssh-server"));
    const manifest = { name: "docker-over-ssh-server", type: "module", exports: "./index.js" };
    await writeFile(join(modules, "docker-over-ssh-server/package.json"), JSON.stringify(manifest));
    await writeFile(join(modules, "docker-over-ssh-server/index.js"), server);
  }
  return async (...words: string[]) => {
    const run = execa(process.execPath, [join(modules, "docker-over-ssh/bin/docker-over-ssh.js"), command, ...words], {
      env: { HOME: folder, XDG_CACHE_HOME: folder },
      reject: false,
      stdin: "ignore",
    });
    return await run;
  };
}

describe.each(["serve", "guard"])("%s", (command) => {
  test("without the server package, prints how to install it", async () => {
    await using folder = await temporaryFolder();
    const run = await installed(folder.path, { command });
    for (const words of [[], ["--help"]]) {
      const { exitCode, stderr } = await run(...words);
      expect(exitCode).toBe(2);
      expect(stderr).toContain(`${command} is in the package docker-over-ssh-server, which is not installed`);
      expect(stderr).toContain("npm install --global docker-over-ssh-server");
    }
  });

  test("passes its words on, including options", async () => {
    await using folder = await temporaryFolder();
    const run = await installed(folder.path, {
      command,
      server: "export const run = async (words, { print }) => print(JSON.stringify(words));",
    });
    const { exitCode, stdout } = await run("token", "ci", "--quiet", "--scope", "read", "--help");
    expect(JSON.parse(stdout)).toEqual([command, "token", "ci", "--quiet", "--scope", "read", "--help"]);
    expect(exitCode).toBe(0);
  });

  test("prints the message of a server failure, which has its own class, and exits with its status", async () => {
    await using folder = await temporaryFolder();
    const run = await installed(folder.path, {
      command,
      server: `class Failure extends Error { name = "Failure"; code = "no-space"; expected = "room"; hint = "Make some."; }
       export const run = async () => { throw new Failure("the disk is full"); };`,
    });
    const { exitCode, stderr } = await run();
    expect(exitCode).toBe(11);
    expect(stderr).toBe("docker-over-ssh: the disk is full\n  expected: room\n  to do:    Make some.");
  });

  test("does not treat a server package that lacks a library as a missing package", async () => {
    await using folder = await temporaryFolder();
    const run = await installed(folder.path, { command, server: 'import "no-such-library";' });
    const { exitCode, stderr } = await run();
    expect(exitCode).toBe(70);
    expect(stderr).toContain("no-such-library");
  });

  test("leaves SIGHUP to the server, and stops it on SIGTERM", async () => {
    await using folder = await temporaryFolder();
    const run = await installed(folder.path, {
      command,
      server: `export const run = async (_, { signal, print }) => {
         const timer = setInterval(() => {}, 1000);
         process.once("SIGHUP", () => { print("again\\n"); process.kill(process.pid, "SIGTERM"); });
         process.kill(process.pid, "SIGHUP");
         await new Promise((resolve) => signal.addEventListener("abort", resolve));
         clearInterval(timer);
         print("ended\\n");
       };`,
    });
    const { exitCode, stdout } = await run();
    expect(stdout).toBe("again\nended");
    expect(exitCode).toBe(0);
  });
});
