import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { bed, done, dos, why } from "./bed.ts";
import { connections, env, folder } from "./engine-only-images.ts";

/** The folder for programs that only the host `bare` finds. */
function bareBin(): string {
  return join(bed.folder, "ssh/bare-bin");
}

describe.skipIf(why)("ssh://HOST", () => {
  test.each(["push", "pull"])("%s: uses docker-over-ssh where it is installed", async (verb) => {
    const run = await dos([verb, "--verbose", "engine-only:v1", "ssh://far"], { env });
    expect(run).toEqual(done);
    expect(run.stderr).toContain("remote side: docker-over-ssh on ssh://far\n");
    expect(connections()).toBe(1);
  });

  test.each(["push", "pull"])(
    "%s: uses the engine alone where it is not installed, with a note, whatever the login shell prints",
    async (verb) => {
      const run = await dos([verb, "engine-only:v1", "ssh://root@bare"], { env });
      expect(run).toEqual(done);
      expect(run.stderr).toContain(
        "remote side: docker system dial-stdio (docker-over-ssh is not installed on bare)\n",
      );
      expect(connections()).toBe(1);
      const quiet = await dos([verb, "--quiet", "engine-only:v1", "ssh://bare"], { env });
      expect(quiet).toEqual({ ...done, stderr: "" });
    },
  );

  test("finds docker-over-ssh behind a login shell that prints", async () => {
    expect(await dos(["push", "engine-only:v1", "ssh://noisy"], { env })).toEqual(done);
  });

  test("an unknown host", async () => {
    const run = await dos(["push", "engine-only:v1", "ssh://nowhere.invalid"], { env });
    expect(run).toMatchObject({ exitCode: 4 });
    expect(run.stderr).toMatch(/^remote: ssh: Could not resolve hostname nowhere\.invalid/m);
    expect(run.stderr).toContain("Try `ssh nowhere.invalid docker version`");
  });

  // A stand-in for sudo on the host `bare` alone: the real one would have to be installed and configured.
  describe("--sudo", () => {
    const sudo = (script: string): void => {
      mkdirSync(bareBin(), { recursive: true });
      writeFileSync(join(bareBin(), "sudo"), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    };
    afterAll(() => {
      if (!why) rmSync(bareBin(), { recursive: true, force: true });
    });

    test("runs the remote command with sudo", async () => {
      sudo(`printf '%s ' "$@" > ${join(folder, "sudo")}; [ "$1" = -n ] && shift; exec "$@"`);
      expect(await dos(["push", "--sudo", "engine-only:v1", "ssh://bare"], { env })).toEqual(done);
      expect(readFileSync(join(folder, "sudo"), "utf8")).toMatch(/^-n \/.*\/docker system dial-stdio $/);
    });

    test("fails when sudo asks for a password, with a hint", async () => {
      sudo("echo 'sudo: a password is required' >&2; exit 1");
      const run = await dos(["push", "--sudo", "engine-only:v1", "ssh://bare"], { env });
      expect(run).toMatchObject({ exitCode: 4 });
      expect(run.stderr).toContain("remote: sudo: a password is required");
      expect(run.stderr).toContain("NOPASSWD");
    });
  });
});
