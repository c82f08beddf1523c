import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { buildImage } from "../testbed/build-image.ts";
import { bed, done, dos, rememberEngines, startDos, staysInCache, unchanged, untilPrinted, why } from "./bed.ts";
import { DIAL, folder, MB } from "./engine-only-images.ts";

describe.skipIf(why)("a failed transfer to an engine alone leaves nothing behind:", () => {
  let changes: () => Promise<unknown>;

  beforeAll(async () => {
    if (!why) await buildImage(bed.near, "engine-only-failing:v1", [{ name: "failing", bytes: 8 * MB, files: 4 }]);
  });
  beforeEach(async () => {
    if (!why) changes = await rememberEngines(bed.near, bed.far);
  });
  afterEach(async () => {
    if (why) return;
    await bed.limitRate(undefined);
    await expect.poll(changes, { timeout: 20_000 }).toEqual(unchanged(2));
    const cache = join(bed.env["HOME"] ?? "", ".cache/docker-over-ssh");
    expect(existsSync(cache) ? readdirSync(cache).filter((name) => !staysInCache(name)) : []).toEqual([]);
  });

  test.each<[string, string[], number, string]>([
    ["no docker on the remote side", ["ssh", "far", "no-docker system dial-stdio"], 5, "ended with status 127"],
    [
      "the engine does not run",
      ["ssh", "far", "docker -H unix:///nowhere.sock system dial-stdio"],
      4,
      "Start the engine",
    ],
    ["something else answers", ["sh", "-c", "yes", "system", "dial-stdio"], 4, "its answer is not HTTP"],
    ["nothing answers", ["sh", "-c", "exec sleep 1000.862", "system", "dial-stdio"], 6, "has not answered for 1 s"],
  ])("%s", async (_, command, exitCode, words) => {
    const run = await dos(["push", "--timeout", "1", "engine-only-failing:v1", ...command]);
    expect(run).toMatchObject({ exitCode, stdout: "" });
    expect(run.stderr).toContain(words);
  });

  test("if the image is missing", async () => {
    const run = await dos(["pull", "nowhere:v1", ...DIAL]);
    expect(run).toMatchObject({ exitCode: 3 });
    expect(run.stderr).toContain("there is no image nowhere:v1 in `ssh far docker system dial-stdio`");
  });

  test.each<[string, string[]]>([
    ["--via pull", ["pull", "--via", "pull", "engine-only-failing:v1", ...DIAL]],
    ["--sudo with a command", ["push", "--sudo", "engine-only-failing:v1", ...DIAL]],
    ["ssh://HOST with a command", ["push", "engine-only-failing:v1", "ssh://far", "docker"]],
  ])("%s is rejected", async (_, line) => {
    expect(await dos(line)).toMatchObject({ exitCode: 2 });
  });

  /** Starts a push on a slow wire, and waits until its load has begun. The load takes seconds. */
  async function whileLoading(): Promise<{ run: ReturnType<typeof startDos> }> {
    await bed.limitRate(8);
    const pid = join(folder, "pid");
    const ssh = `echo $$ > ${pid}; exec ssh far docker system dial-stdio`;
    const run = startDos(["push", "--verbose", "engine-only-failing:v1", "sh", "-c", ssh, "system", "dial-stdio"]);
    await untilPrinted(run, "sending");
    return { run };
  }

  test("if the link is lost during a load", async () => {
    const { run } = await whileLoading();
    await execa`kill -9 ${readFileSync(join(folder, "pid"), "utf8").trim()}`;
    const { exitCode, stderr } = await run;
    expect(exitCode).toBe(9);
    expect(stderr).toMatch(/the connection to the remote engine was lost: .* was ended by SIGKILL/);
  });

  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("%s during a load", async (signal, status) => {
    const { run } = await whileLoading();
    run.kill(signal);
    expect((await run).exitCode).toBe(status);
  });

  test("on Ctrl-C, which a terminal sends to ssh as well", async () => {
    await bed.limitRate(8);
    const line = ["push", "--verbose", "engine-only-failing:v1", ...DIAL];
    const run = execa("docker-over-ssh", line, { env: bed.env, stdin: "ignore", reject: false, detached: true });
    await untilPrinted(run, "sending");
    process.kill(-(run.pid ?? 0), "SIGINT");
    const { exitCode, stderr } = await run;
    expect(exitCode).toBe(130);
    expect(stderr).not.toContain("lost");
  });

  test("afterwards, the engine loads the next image", async () => {
    await bed.near.docker("tag", "engine-only:v1", "after:v1");
    const run = await dos(["push", "after:v1", ...DIAL]);
    expect(run).toEqual(done);
    for (const engine of [bed.near, bed.far]) await engine.docker("rmi", "after:v1");
  });
});
