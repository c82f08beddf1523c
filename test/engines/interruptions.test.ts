import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { execa } from "execa";
import { beforeEach, describe, expect, test } from "vitest";
import { bed, done, dos, startDos, untilPrinted, why } from "./bed.ts";
import { allowPartialLayers, folder, OVER_SSH, SLEEP } from "./failure-checks.ts";

/** Signals a process of the far machine, by its process ID on that machine. */
async function killRemote(pidFile: string, signal: string): Promise<void> {
  await execa({ env: bed.env })`ssh far ${`kill -s ${signal.slice(3)} $(cat ${pidFile})`}`;
}

describe.skipIf(why)("a transfer that is stopped at any stage, on either side", () => {
  beforeEach(allowPartialLayers);

  const container = ["--registry", "container"];
  const stages: [string, string[], string[]][] = [
    ["running", [], ["sh", "-c", SLEEP]],
    ["starting a registry", container, OVER_SSH],
    ["preparing", container, OVER_SSH],
    ["preparing", [], OVER_SSH],
    ["sending", [], OVER_SSH],
  ];
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  const status = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 };

  test.each(
    stages.flatMap(([stage, options, command], index) =>
      signals
        .filter((_, at) => stage === "sending" || at === index % signals.length)
        .map((signal) => ({ stage, options, signal, command })),
    ),
  )("$signal to the sender while $stage $options", async ({ stage, options, signal, command }) => {
    await bed.limitRate(8);
    const run = startDos(["push", "--verbose", ...options, "failing:v1", ...command]);
    await untilPrinted(run, stage);
    run.kill(signal);
    expect((await run).exitCode).toBe(status[signal]);
  });

  test.each(
    stages
      .slice(1)
      .map(([stage, options], at) => ({ stage, options, signal: signals[at % signals.length] ?? "SIGINT" })),
  )("$signal to the receiver while $stage $options", async ({ stage, options, signal }) => {
    await bed.limitRate(8);
    const pid = join(folder, "pid");
    const remote = `echo $$ > ${pid}; exec docker-over-ssh pull failing:v1`;
    const run = startDos(["push", ...options, "failing:v1", "ssh", "far", remote]);
    await untilPrinted(run, stage);
    await killRemote(pid, signal);
    const { exitCode, stderr } = await run;
    expect(stderr).toContain(`the remote side failed: stopped by ${signal}`);
    expect(exitCode).toBe(1);
  });

  test.each(["push", "pull"])("SIGINT to a %s that has started a side whose engine never answers", async (verb) => {
    const socket = join(folder, "silent.sock");
    const server = createServer(() => {}).listen(socket);
    await once(server, "listening");
    const other = verb === "push" ? "pull" : "push";
    const remote = ["docker-over-ssh", other, "-H", `unix://${socket}`, "failing:v1"];
    const run = startDos([verb, "--verbose", "failing:v1", ...remote]);
    await untilPrinted(run, "the tunnel is open");
    run.kill("SIGINT");
    expect((await run).exitCode).toBe(130);
    server.close();
  });

  test("SIGTERM to a side whose own engine never answers", async () => {
    const socket = join(folder, "silent.sock");
    const server = createServer().listen(socket);
    const connected = once(server, "connection");
    const run = startDos(["push", "-H", `unix://${socket}`, "failing:v1", "true"]);
    await connected;
    run.kill("SIGTERM");
    expect((await run).exitCode).toBe(143);
    server.close();
  });

  test("Ctrl-C, which a terminal sends to ssh as well", async () => {
    await bed.limitRate(8);
    const run = execa("docker-over-ssh", ["push", "failing:v1", ...OVER_SSH], {
      env: bed.env,
      reject: false,
      detached: true,
    });
    await untilPrinted(run, "sending");
    process.kill(-(run.pid ?? 0), "SIGINT");
    expect((await run).exitCode).toBe(130);
  });

  test("the receiver is killed: the sender reports the lost link and the exit of ssh", async () => {
    await bed.limitRate(8);
    const pid = join(folder, "pid");
    const run = startDos([
      "push",
      "failing:v1",
      "ssh",
      "far",
      `echo $$ > ${pid}; exec docker-over-ssh pull failing:v1`,
    ]);
    await untilPrinted(run, "sending");
    await killRemote(pid, "SIGKILL");
    const { exitCode, stderr } = await run;
    await bed.limitRate(undefined);
    expect(exitCode).toBe(9);
    expect(stderr).toMatch(/the connection to the remote side was lost: `ssh far .*` ended with status/);
    // The next run on the far machine removes the leftovers from its engine.
    const next = await dos(["push", "failing:v1", ...OVER_SSH]);
    expect(next).toEqual(done);
    await bed.far.docker("rmi", "failing:v1");
  });

  test("the sender is killed: the receiver ends and cleans up", async () => {
    await bed.limitRate(8);
    const run = startDos(["push", "failing:v1", ...OVER_SSH]);
    await untilPrinted(run, "sending");
    run.kill("SIGKILL");
    await run;
    await bed.limitRate(undefined);
    // The next run removes the sender's leftovers from its engine.
    expect(await dos(["push", "failing:v1", ...OVER_SSH])).toEqual(done);
    await bed.far.docker("rmi", "failing:v1");
  });

  test("a second Ctrl-C ends the run at once, even if the engine hangs; the next run cleans up", async () => {
    const run = startDos(["push", "--verbose", "--registry", "container", "failing:v1", ...OVER_SSH]);
    await untilPrinted(run, "preparing");
    await bed.near.signal("STOP");
    try {
      const stopping = untilPrinted(run, "stopping: SIGINT");
      run.kill("SIGINT");
      await stopping;
      run.kill("SIGINT");
      expect((await run).signal).toBe("SIGINT");
    } finally {
      await bed.near.signal("CONT");
    }
    expect(await dos(["push", "failing:v1", ...OVER_SSH])).toEqual(done);
    await bed.far.docker("rmi", "failing:v1");
  });
});
