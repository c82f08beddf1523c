import { existsSync } from "node:fs";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { makeImage, savePodman } from "../image/make-image.ts";
import { folder, program, run, start } from "./cli.ts";
import { look, whole, writeTar } from "./images.ts";

const at = (name: string): string => join(folder, name);
const image = await makeImage([3000]);
await writeTar(at("podman.tar"), await savePodman(image)); // it names the image app:v1

/** Creates a host that is this machine. Its docker-over-ssh receives into the layout `there`. */
await mkdir(at("bin"));
const programs: Record<string, string> = {
  "fake-ssh": 'while [ "$1" != -- ]; do shift; done; shift 2; exec /bin/sh -c "$*"',
  "docker-over-ssh": `shift; exec ${program.join(" ")} pull --to "oci:there" "$@"`,
};
for (const [name, code] of Object.entries(programs)) {
  await writeFile(at(`bin/${name}`), `#!/bin/sh\n${code}\n`);
  await chmod(at(`bin/${name}`), 0o755);
}

const push = (command: string, source = "docker-archive:podman.tar"): string[] => {
  const host = ["--far", "installed", "--far-path", at("bin"), "--ssh", at("bin/fake-ssh")];
  return ["push", ...host, "--run", command, source, "ssh://prod"];
};

describe("--run", () => {
  test("runs the command on the host when the image has arrived, without input, and prints its stdout and stderr", async () => {
    const command = `grep -q app:v1 there/index.json && echo "it's $((6 * 7))"; cat; echo to stderr >&2`;
    const { exitCode, stderr } = await run(...push(command));
    expect(stderr).toMatch(/pushed docker-archive:podman.tar[^]*remote: it's 42\n/);
    expect(stderr).toContain("remote: to stderr");
    expect(exitCode).toBe(0);
  });

  test("ends its login when the command begins, so that the progress of other hosts continues", async () => {
    const [verb = "", ...words] = push("echo begun; false");
    const { stderr } = await run(verb, "--verbose", ...words);
    expect(stderr).toMatch(/running on prod[^]*the remote side answers[^]*remote: begun/);
  });

  test("exits with the status of the program, and the image stays", async () => {
    const { exitCode, stderr } = await run(...push("exit 7"));
    expect(stderr).toContain("`exit 7` on prod ended with status 7");
    expect(exitCode).toBe(7);
    expect(await look("oci", at("there"), "app:v1")).toEqual(whole(image));
  });

  test("does not run the command if the transfer fails, nor in a dry run", async () => {
    expect((await run(...push("touch ran", "docker-archive:absent.tar"))).exitCode).toBe(3);
    const [verb = "", ...words] = push("touch ran");
    expect((await run(verb, "--dry-run", ...words)).exitCode).toBe(0);
    expect(existsSync(at("ran"))).toBe(false);
  });

  test("gives the image the further names", async () => {
    const [verb = "", ...words] = push("true");
    expect(await run(verb, "--tag-also", "latest", ...words)).toMatchObject({ exitCode: 0 });
    expect(await look("oci", at("there"), "app:latest")).toEqual(whole(image));
  });

  test("Ctrl-C ends the command, and the programs that it has started", async () => {
    const waiting = start(...push("echo at $$; sleep 300; true"));
    let pid = 0;
    for await (const line of waiting.iterable({ from: "stderr" })) {
      const [, digits] = /remote: at (\d+)/.exec(line) ?? [];
      if (digits === undefined) continue;
      pid = Number(digits);
      waiting.kill("SIGINT");
    }
    expect((await waiting).exitCode).toBe(130);
    await expect.poll(() => isAlive(-pid), { timeout: 20_000 }).toBe(false); // including processes that init has not reaped
  });

  test.each([
    ["for a command as the remote side", ["cat"]],
    ["without a remote side", []],
  ])("is rejected %s", async (_, remote) => {
    const { exitCode, stderr } = await run(
      "push",
      "--run",
      "docker compose up -d",
      "docker-archive:podman.tar",
      ...remote,
    );
    expect(stderr).toContain('&& ssh HOST "docker compose up -d"');
    expect(exitCode).toBe(2);
  });
});

/** Returns whether a process (or, with a negative ID, a process group) exists. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
