import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { buildImage, type LayerSpec } from "../testbed/build-image.ts";
import { startExecHost } from "../testbed/exec-host.ts";
import { startTestbed } from "../testbed/start.ts";
import type { Testbed } from "../testbed/testbed.ts";
import { bed, done, dos, rememberEngines, startDos, unchanged, untilPrinted, why } from "./bed.ts";

const MB = 1_000_000;
/** Random, so that compressed sizes are these sizes. */
const layers: LayerSpec[] = [{ name: "agentless", bytes: 4 * MB, files: 40 }];
const DIAL = ["ssh", "far", "docker", "system", "dial-stdio"];

let folder: string;
let env: Record<string, string>;

beforeAll(async () => {
  if (why) return;
  for (const tag of ["v1", "v2"]) await buildImage(bed.near, `agentless:${tag}`, layers);
});

/** Other files count layers that no engine has seen before. */
afterAll(async () => {
  if (why) return;
  for (const engine of [bed.near, bed.far]) {
    const { references } = await engine.listing();
    const ours = references.filter((name) => /^(?:agentless|fetched|only-there)/.test(name));
    if (ours.length > 0) await engine.docker("rmi", "--force", ...ours);
  }
});

/** An `ssh` that is first in PATH and counts how often it is run. */
beforeEach(() => {
  if (why) return;
  folder = mkdtempSync(join(tmpdir(), "dos-agentless-"));
  const log = join(folder, "log");
  writeFileSync(join(folder, "ssh"), `#!/bin/sh\necho run >> ${log}\nexec ${join(bed.bin, "ssh")} "$@"\n`, {
    mode: 0o755,
  });
  env = { PATH: `${folder}:${bed.env["PATH"]}` };
});
afterEach(() => {
  if (!why) rmSync(folder, { recursive: true });
});

function connections(): number {
  return readFileSync(join(folder, "log"), "utf8").trim().split("\n").length;
}

/** The folder for programs that only the host `bare` finds. */
function bareBin(): string {
  return join(bed.folder, "ssh/bare-bin");
}

describe.skipIf(why)(`with nothing but Docker at the remote side ${why ?? ""}`, () => {
  test("push: the image runs there, nothing else is left, and there was one ssh", async () => {
    const changes = await rememberEngines(bed.near, bed.far);
    const run = await dos(["push", "agentless:v1", ...DIAL], { env });
    expect(run).toEqual(done);
    expect(run.stderr).toMatch(/^pushed agentless:v1: [45].* MB sent for \d layers, .* there already, in /m);
    expect((await bed.far.docker("run", "--rm", "agentless:v1")).stdout).toBe("agentless v1");
    expect(connections()).toBe(1);
    expect(await changes()).toEqual([
      { came: [], went: [] },
      { came: ["agentless:v1"], went: [] },
    ]);
  });

  test("a second version sends the layer that changed, and no other: counted on the wire", async () => {
    const wire = await bed.countWire();
    const run = await dos(["push", "--verbose", "agentless:v2", ...DIAL], { env });
    expect(run).toEqual(done);
    expect(run.stderr).toMatch(/sent for 1 layer, 2 layers there already/);
    expect(run.stderr).toContain("missing layers are sent whole: one side is an engine alone");
    // What comes back is all that the engine tells of each of its images, and other files leave some there.
    expect((await wire()).toFar).toBeLessThan(64_000);
    expect((await bed.far.docker("run", "--rm", "agentless:v2")).stdout).toBe("agentless v2");
    expect(connections()).toBe(1);
  });

  test("pull: from the remote engine, by one ssh", async () => {
    await bed.near.docker("tag", "agentless:v1", "fetched:v1");
    await dos(["push", "fetched:v1", ...DIAL]);
    await bed.near.docker("rmi", "fetched:v1");
    const changes = await rememberEngines(bed.near, bed.far);
    const run = await dos(["pull", "fetched:v1", ...DIAL], { env });
    expect(run).toEqual(done);
    expect(run.stderr).toMatch(/^pulled fetched:v1: .* received for 0 layers, 3 layers.* there already/m);
    expect(connections()).toBe(1);
    expect(await changes()).toEqual([
      { came: ["fetched:v1"], went: [] },
      { came: [], went: [] },
    ]);
  });

  test("pull: layers that are missing here come whole", async () => {
    await buildImage(bed.far, "only-there:v1", [{ name: "only-there", bytes: MB, files: 3 }]);
    expect(await dos(["pull", "only-there:v1", ...DIAL], { env })).toEqual(done);
    expect((await bed.near.docker("run", "--rm", "only-there:v1")).stdout).toBe("only-there v1");
    expect(connections()).toBe(1);
  });

  test("one behind ssh as -H takes a missing layer whole, and it is said why", async () => {
    const own = (changedFiles: number): LayerSpec[] => [{ name: "fetched-behind", bytes: MB, files: 10, changedFiles }];
    await buildImage(bed.far, "fetched-behind:v1", own(0));
    await buildImage(bed.near, "fetched-behind:v2", own(1));
    const pull = ["docker-over-ssh", "pull", "--verbose", "-H", "ssh://far", "fetched-behind:v2"];
    const run = await dos(["push", "fetched-behind:v2", ...pull], { env });
    expect(run).toEqual(done);
    expect(run.stderr).toContain("missing layers are sent whole: the engine's files are behind one connection");
    expect((await bed.far.docker("run", "--rm", "fetched-behind:v2")).stdout).toBe("fetched-behind v2");
  });

  test("through a login shell that prints on stdout", async () => {
    const run = await dos(["push", "agentless:v1", "ssh", "noisy", "docker system dial-stdio"], { env });
    expect(run).toEqual(done);
  });

  test("from an archive, which no engine here has", async () => {
    const file = join(folder, "agentless.tar");
    await bed.near.docker("save", "--output", file, "agentless:v2");
    const run = await dos(["push", `docker-archive:${file}:agentless:v2`, ...DIAL], { env });
    expect(run).toEqual(done);
    expect(run.stderr).toContain("3 layers there already");
    expect(connections()).toBe(1);
  });

  test("through docker exec -i", async () => {
    await using host = await startExecHost(bed, { on: bed.far });
    await bed.near.docker("tag", "agentless:v1", "agentless-exec:v1");
    const far = ["docker", "-H", bed.far.host, "exec", "-i", host.name, "docker", "system", "dial-stdio"];
    expect(await dos(["push", "agentless-exec:v1", ...far])).toEqual(done);
    expect((await bed.far.docker("run", "--rm", "agentless-exec:v1")).stdout).toBe("agentless v1");
  });
});

describe.skipIf(why)("ssh://HOST", () => {
  test.each(["push", "pull"])("%s: docker-over-ssh where it is installed", async (verb) => {
    const run = await dos([verb, "--verbose", "agentless:v1", "ssh://far"], { env });
    expect(run).toEqual(done);
    expect(run.stderr).toContain("remote side: docker-over-ssh on ssh://far\n");
    expect(connections()).toBe(1);
  });

  test.each(["push", "pull"])("%s: else the engine, which is said; whatever the login shell prints", async (verb) => {
    const run = await dos([verb, "agentless:v1", "ssh://root@bare"], { env });
    expect(run).toEqual(done);
    expect(run.stderr).toContain("remote side: docker system dial-stdio (docker-over-ssh is not installed on bare)\n");
    expect(connections()).toBe(1);
    const quiet = await dos([verb, "--quiet", "agentless:v1", "ssh://bare"], { env });
    expect(quiet).toEqual({ ...done, stderr: "" });
  });

  test("docker-over-ssh behind a login shell that prints", async () => {
    expect(await dos(["push", "agentless:v1", "ssh://noisy"], { env })).toEqual(done);
  });

  test("a host that there is not", async () => {
    const run = await dos(["push", "agentless:v1", "ssh://nowhere.invalid"], { env });
    expect(run).toMatchObject({ exitCode: 4 });
    expect(run.stderr).toMatch(/^remote: ssh: Could not resolve hostname nowhere\.invalid/m);
    expect(run.stderr).toContain("Try `ssh nowhere.invalid docker version`");
  });

  // The real sudo would want to be installed and set up: this is one for the host `bare` alone.
  describe("--sudo", () => {
    const sudo = (script: string): void => {
      mkdirSync(bareBin(), { recursive: true });
      writeFileSync(join(bareBin(), "sudo"), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    };
    afterAll(() => {
      if (!why) rmSync(bareBin(), { recursive: true, force: true });
    });

    test("the remote command is run with it", async () => {
      sudo(`printf '%s ' "$@" > ${join(folder, "sudo")}; [ "$1" = -n ] && shift; exec "$@"`);
      expect(await dos(["push", "--sudo", "agentless:v1", "ssh://bare"], { env })).toEqual(done);
      expect(readFileSync(join(folder, "sudo"), "utf8")).toMatch(/^-n \/.*\/docker system dial-stdio $/);
    });

    test("one that asks for a password ends it, with what to do", async () => {
      sudo("echo 'sudo: a password is required' >&2; exit 1");
      const run = await dos(["push", "--sudo", "agentless:v1", "ssh://bare"], { env });
      expect(run).toMatchObject({ exitCode: 4 });
      expect(run.stderr).toContain("remote: sudo: a password is required");
      expect(run.stderr).toContain("NOPASSWD");
    });
  });
});

describe.skipIf(why)("what goes wrong with an engine alone, and what is left: nothing", () => {
  let changes: () => Promise<unknown>;

  beforeAll(async () => {
    if (!why) await buildImage(bed.near, "agentless-failing:v1", [{ name: "failing", bytes: 8 * MB, files: 4 }]);
  });
  beforeEach(async () => {
    if (!why) changes = await rememberEngines(bed.near, bed.far);
  });
  afterEach(async () => {
    if (why) return;
    await bed.limitRate(undefined);
    await expect.poll(changes, { timeout: 20_000 }).toEqual(unchanged(2));
    const cache = join(bed.env["HOME"] ?? "", ".cache/docker-over-ssh");
    expect(existsSync(cache) ? readdirSync(cache).filter((name) => name !== "code") : []).toEqual([]);
  });

  test.each<[string, string[], number, string]>([
    ["no docker there", ["ssh", "far", "no-docker system dial-stdio"], 5, "ended with status 127"],
    ["the engine is down", ["ssh", "far", "docker -H unix:///nowhere.sock system dial-stdio"], 4, "Start the engine"],
    ["something else answers", ["sh", "-c", "yes", "system", "dial-stdio"], 4, "its answer is not HTTP"],
    ["nothing answers", ["sh", "-c", "exec sleep 1000.862", "system", "dial-stdio"], 6, "has not answered for 1 s"],
  ])("%s", async (_, command, exitCode, words) => {
    const run = await dos(["push", "--timeout", "1", "agentless-failing:v1", ...command]);
    expect(run).toMatchObject({ exitCode, stdout: "" });
    expect(run.stderr).toContain(words);
  });

  test("an image that is not there", async () => {
    const run = await dos(["pull", "nowhere:v1", ...DIAL]);
    expect(run).toMatchObject({ exitCode: 3 });
    expect(run.stderr).toContain("there is no image nowhere:v1 in `ssh far docker system dial-stdio`");
  });

  test.each<[string, string[]]>([
    ["--via pull", ["pull", "--via", "pull", "agentless-failing:v1", ...DIAL]],
    ["--sudo with a command", ["push", "--sudo", "agentless-failing:v1", ...DIAL]],
    ["a place with words behind it", ["push", "agentless-failing:v1", "ssh://far", "docker"]],
  ])("%s is no such command line", async (_, line) => {
    expect(await dos(line)).toMatchObject({ exitCode: 2 });
  });

  /** Runs a push whose load has begun: it takes the layers as they come, for seconds on a slow wire. */
  async function whileLoading(): Promise<{ run: ReturnType<typeof startDos> }> {
    await bed.limitRate(8);
    const pid = join(folder, "pid");
    const ssh = `echo $$ > ${pid}; exec ssh far docker system dial-stdio`;
    const run = startDos(["push", "--verbose", "agentless-failing:v1", "sh", "-c", ssh, "system", "dial-stdio"]);
    await untilPrinted(run, "sending");
    return { run };
  }

  test("the link is lost in the middle of a load", async () => {
    const { run } = await whileLoading();
    await execa`kill -9 ${readFileSync(join(folder, "pid"), "utf8").trim()}`;
    const { exitCode, stderr } = await run;
    expect(exitCode).toBe(9);
    expect(stderr).toMatch(/the connection to the remote engine was lost: .* was ended by SIGKILL/);
  });

  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("%s in the middle of a load", async (signal, status) => {
    const { run } = await whileLoading();
    run.kill(signal);
    expect((await run).exitCode).toBe(status);
  });

  test("Ctrl-C, which a terminal sends to ssh as well", async () => {
    await bed.limitRate(8);
    const line = ["push", "--verbose", "agentless-failing:v1", ...DIAL];
    const run = execa("docker-over-ssh", line, { env: bed.env, stdin: "ignore", reject: false, detached: true });
    await untilPrinted(run, "sending");
    process.kill(-(run.pid ?? 0), "SIGINT");
    const { exitCode, stderr } = await run;
    expect(exitCode).toBe(130);
    expect(stderr).not.toContain("lost");
  });

  test("and the engine loads the next image as ever", async () => {
    await bed.near.docker("tag", "agentless:v1", "after:v1");
    const run = await dos(["push", "after:v1", ...DIAL]);
    expect(run).toEqual(done);
    for (const engine of [bed.near, bed.far]) await engine.docker("rmi", "after:v1");
  });
});

describe.skipIf(why).each(["26.1-containerd", "28.5-containerd"] as const)("a remote engine of the kind %s", (kind) => {
  let other: Testbed;
  beforeAll(async () => {
    other = await startTestbed({ far: { kind } });
    for (const tag of ["v1", "v2", "v3"]) await buildImage(other.near, `app:${tag}`, layers);
  });
  afterAll(async () => await other[Symbol.asyncDispose]());

  test("a second version sends the layer that changed, though no API tells which blobs the store holds", async () => {
    expect(await dos(["push", "app:v1", ...DIAL], { on: other })).toEqual(done);
    const changes = await rememberEngines(other.far);
    const wire = await other.countWire();
    const run = await dos(["push", "app:v2", ...DIAL], { on: other });
    expect(run).toEqual(done);
    expect(run.stderr).toMatch(/sent for 1 layer, 2 layers/);
    expect((await wire()).toFar).toBeLessThan(64_000);
    expect((await other.far.docker("run", "--rm", "app:v2")).stdout).toBe("app v2");
    expect(await changes()).toMatchObject([{ went: [] }]);
    expect((await other.far.listing()).references.filter((name) => name.includes("docker-over-ssh"))).toEqual([]);
  });

  test("nor is more fetched from it than what is missing", async () => {
    await other.near.docker("rmi", "app:v2");
    const changes = await rememberEngines(other.far);
    const wire = await other.countWire();
    expect(await dos(["pull", "app:v2", ...DIAL], { on: other })).toEqual(done);
    expect((await wire()).toNear).toBeLessThan(64_000);
    expect((await other.near.docker("run", "--rm", "app:v2")).stdout).toBe("app v2");
    expect(await changes()).toEqual(unchanged(1));
  });
});
