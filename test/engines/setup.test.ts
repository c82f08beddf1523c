import { execa } from "execa";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { newRunId, temporaryName } from "../../src/run/run-id.ts";
import { buildImage } from "../testbed/build-image.ts";
import { PROGRAMS, startLoginHost, type LoginHost } from "../testbed/login-host.ts";
import { bed, done, dos, rememberEngines, unchanged, why } from "./bed.ts";

const IMAGE = "setup:v1";
const there = "ssh://fresh@login";
/** A user with an empty home folder, and without node and docker in PATH. */
const paths = ["--far-path", PROGRAMS.node, "--far-path", PROGRAMS.docker];

let host: LoginHost;

beforeAll(async () => {
  if (why) return;
  await buildImage(bed.near, IMAGE, [{ name: "setup", bytes: 10_000 }]);
  host = await startLoginHost(bed, [{ name: "fresh" }, { name: "other" }, { name: "noexec", noexec: true }]);
});

afterAll(async () => {
  if (why) return;
  await host?.[Symbol.asyncDispose]();
  await bed.near.docker("rmi", IMAGE);
});

/** Runs a command as the user on the far machine. */
async function ssh(user: string, command: string): Promise<string> {
  return (await execa({ env: host.env })`ssh -l ${user} login ${command}`).stdout;
}

const filesOf = async (user: string): Promise<string> => await ssh(user, "find . | sort");

describe.skipIf(why)(`setup ${why ?? ""}`, () => {
  let engines: () => Promise<unknown>;
  beforeEach(async () => {
    if (!why) engines = await rememberEngines(bed.far);
  });

  test("installs into an empty home folder; a push then uses the installation; --uninstall leaves nothing behind", async () => {
    const before = await filesOf("fresh");
    const set = await dos(["setup", ...paths, there], { env: host.env });
    expect(set).toEqual(done);
    expect(set.stderr).toContain("wrote the launcher /home/fresh/.local/bin/docker-over-ssh\n");

    const push = await dos(["push", "--verbose", IMAGE, there], { env: host.env });
    expect(push).toEqual(done);
    expect(push.stderr).toContain("trying installed (/home/fresh/.local/bin/docker-over-ssh)\n");
    expect(push.stderr).toContain(`remote side: docker-over-ssh on ${there}\n`);
    expect(await filesOf("fresh")).toContain("./.cache/docker-over-ssh/code/");

    await bed.far.docker("rmi", IMAGE);
    const removed = await dos(["setup", "--uninstall", ...paths, there], { env: host.env });
    expect(removed).toEqual(done);
    expect(removed.stderr.split("\n")).toEqual([
      "docker-over-ssh: removed the launcher /home/fresh/.local/bin/docker-over-ssh",
      "docker-over-ssh: removed docker-over-ssh itself in /home/fresh/.local/share/docker-over-ssh",
      "docker-over-ssh: removed the cache folder /home/fresh/.cache/docker-over-ssh",
      `docker-over-ssh: no files of docker-over-ssh remain on ${there}`,
    ]);
    expect(await filesOf("fresh")).toBe(before);
    expect(await engines()).toEqual(unchanged(1));
  });

  test("--uninstall removes the leftovers in the engine that prune --dry-run lists, and nothing of a running transfer", async () => {
    await dos(["push", "--far", "engine", ...paths, IMAGE, there], { env: host.env });
    const ended = newRunId(Number((await execa`sh -c ${"echo $$"}`).stdout));
    const [gone, running] = [ended, newRunId()].map((runId) =>
      temporaryName("127.0.0.1:5000", "library/setup", [runId]),
    );
    await bed.far.docker("tag", IMAGE, gone ?? "");
    await bed.far.docker("tag", IMAGE, running ?? "");
    await bed.far.docker("create", "--label", `docker-over-ssh.run=${ended}`, IMAGE, "true");
    await bed.far.docker("volume", "create", "--label", "docker-over-ssh.remote=true", "docker-over-ssh-cache");

    const dryRun = await dos(["prune", "--dry-run", ...paths, there], { env: host.env });
    expect(dryRun).toEqual(done);
    expect(dryRun.stderr).toContain("would remove the volume docker-over-ssh-cache\n");
    expect(dryRun.stderr).toContain(`would remove the image ${gone}`);

    const removed = await dos(["setup", "--uninstall", ...paths, there], { env: host.env });
    expect(removed).toEqual(done);
    expect(removed.stderr).toContain("removed the volume docker-over-ssh-cache\n");
    expect(removed.stderr).toMatch(/removed the container [0-9a-f]{12}\n/);
    expect(removed.stderr).toContain(`removed the image ${gone}`);
    expect(removed.stderr).toContain(`left the image ${running}: `);

    await bed.far.docker("rmi", IMAGE, running ?? "");
    expect(await engines()).toEqual(unchanged(1));
  });

  test("fails in a home folder in which no program can be executed", async () => {
    const before = await filesOf("noexec");
    const run = await dos(["setup", ...paths, "ssh://noexec@login"], { env: host.env });
    expect(run).toMatchObject({ exitCode: 5 });
    expect(run.stderr).toContain("noexec");
    expect(await filesOf("noexec")).toBe(before);
  });

  test("fails in a home folder that the user may not write to", async () => {
    await ssh("other", "chmod 500 .");
    const run = await dos(["setup", ...paths, "ssh://other@login"], { env: host.env });
    expect(run).toMatchObject({ exitCode: 13 });
    expect(run.stderr).toContain("/home/other/.local cannot be written to\n");
  });

  test("installs nothing without Node", async () => {
    const run = await dos(["setup", there], { env: host.env });
    expect(run).toMatchObject({ exitCode: 5 });
    expect(run.stderr).toContain(`no Node on ${there} can run docker-over-ssh: not found; nothing was installed\n`);
  });

  test("fails if the host cannot be reached", async () => {
    for (const option of [[], ["--uninstall"]]) {
      const run = await dos(["setup", ...option, "ssh://nowhere.invalid"], { env: host.env });
      expect(run).toMatchObject({ exitCode: 4 });
      expect(run.stderr).toContain("remote: ssh: Could not resolve hostname nowhere.invalid");
    }
  });
});
