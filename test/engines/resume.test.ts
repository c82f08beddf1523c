import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { buildImage } from "../testbed/build-image.ts";
import type { Engine } from "../testbed/engine.ts";
import { startTestbed } from "../testbed/start.ts";
import type { Testbed } from "../testbed/testbed.ts";
import { bed, done, dos, startDos, staysInCache, why } from "./bed.ts";

const MB = 1_000_000;
const IMAGE = "resumed:v1";
/** Sends layers whole: the file of a layer by delta does not grow with the received bytes. */
const TO_FAR = ["push", "--no-delta", IMAGE, "ssh", "far", `docker-over-ssh pull ${IMAGE}`];
/** The number of kills in each of the two transfers, of either side in turn, spread from the first bytes to the last. */
const KILLS = 20;
/** Bytes before the layer's end at the last kill. */
const LAST = 100_000;
/** Bytes that may be sent again after a kill. */
const LOSS = 8 * MB;
/** Other bytes of a run: ssh, handshakes, and the small layers, which may be sent last. */
const OVERHEAD = 1.5 * MB;
/** Megabits per second. */
const SLOW = 40;

/** A test bed, and the size of the incompressible layer of its image. */
interface Row {
  on: () => Testbed;
  size: number;
}
let containerd: Testbed;
const rows: [string, Row][] = [
  // Larger than the limit for an engine push from a graph driver, so `docker save` exports it and the sender packs the stream.
  ["a classic store, packed by the sender", { on: () => bed, size: 96 * MB }],
  ["a containerd store, by an engine push", { on: () => containerd, size: 50 * MB }],
];

beforeAll(async () => {
  if (why) return;
  containerd = await startTestbed({ far: { kind: "28.5-containerd" } });
  for (const [, { on, size }] of rows) await buildImage(on().near, IMAGE, [{ name: "data", bytes: size }]);
});

/** Expects an empty resume cache and no running receiver. */
afterEach(async () => {
  if (why) return;
  for (const [, { on }] of rows) {
    await on().limitRate(undefined);
    await expect.poll(async () => await receivers(on()), { timeout: 25_000 }).toEqual([]);
    await on().far.docker("rmi", "--force", IMAGE);
    expect(filesOf(on())).toEqual([]);
  }
});

afterAll(async () => {
  if (why) return;
  await bed.near.docker("rmi", IMAGE);
  await containerd[Symbol.asyncDispose]();
});

/** Returns the files in the far machine's cache. */
function filesOf(on: Testbed): string[] {
  const cache = join(on.folder, "far/home/.cache/docker-over-ssh");
  const names = existsSync(cache) ? readdirSync(cache, { recursive: true, encoding: "utf8" }) : [];
  return names.filter((name) => !staysInCache(name)).map((name) => join(cache, name));
}

/** Returns the bytes of the large layer on the far machine's disk. */
function arrived(on: Testbed): number {
  const sizes = filesOf(on).map((path) => {
    const found = statSync(path, { throwIfNoEntry: false });
    return found?.isFile() ? found.size : 0;
  });
  return Math.max(0, ...sizes);
}

/** Returns the process IDs of receivers on the far machine, in this machine's namespace. */
async function receivers(on: Testbed): Promise<number[]> {
  const { stdout } = await execa({ reject: false })`pgrep -f ${"docker-over-ssh.js pull"}`;
  const isOfBed = (pid: string): boolean => {
    try {
      return readFileSync(`/proc/${pid}/environ`, "utf8").includes(join(on.folder, "far/home"));
    } catch {
      return false; // it has just ended
    }
  };
  return stdout.split("\n").filter(isOfBed).map(Number);
}

/** Resolves when so many bytes have arrived, or the run has ended. */
async function untilArrived(on: Testbed, bytes: number, run: ReturnType<typeof startDos>): Promise<void> {
  const isReached = (): boolean => arrived(on) >= bytes || run.exitCode !== null || run.signalCode !== null;
  await expect.poll(isReached, { interval: 5, timeout: 60_000 }).toBe(true);
}

async function untilNoReceivers(on: Testbed): Promise<void> {
  await expect.poll(async () => await receivers(on), { timeout: 25_000, interval: 20 }).toEqual([]);
}

/** Signals a run when 10 MB have arrived. Returns the run's outcome. */
async function stoppedBy(signal: NodeJS.Signals, on: Testbed): Promise<{ exitCode?: number | undefined }> {
  await on.limitRate(SLOW);
  const run = startDos(TO_FAR, { on });
  await untilArrived(on, 10 * MB, run);
  run.kill(signal);
  const ended = await run;
  await untilNoReceivers(on);
  await on.limitRate(undefined);
  return ended;
}

/** Returns the hash of the large layer's files, computed by a container. */
async function contentOf(engine: Engine): Promise<string> {
  return (await engine.docker("run", "--rm", IMAGE, "/bin/busybox", "sh", "-c", "sha256sum /data/*")).stdout;
}

describe.skipIf(why).each(rows)(`a layer sent into %s ${why ?? ""}`, (_, { on: of, size }) => {
  test("is resumed after each kill of either side", async () => {
    const on = of();
    await on.limitRate(SLOW);
    const lost: number[] = [];
    /** Bytes that arrive after the decision to kill: while the test looks for the receiver, and from the buffers of ssh and TCP. */
    let underway = 0;
    while (lost.length < KILLS && arrived(on) < size - LAST) {
      const before = arrived(on);
      const killsLeft = KILLS - lost.length;
      const rest = size - LAST - before - underway * (killsLeft - 1);
      const wire = await on.countWire();
      const run = startDos(TO_FAR, { on });
      await untilArrived(on, before === 0 ? 1 : before + Math.max(1, rest / killsLeft), run);
      const point = arrived(on);
      if (lost.length % 2 === 0) for (const pid of await receivers(on)) process.kill(pid, "SIGKILL");
      else run.kill("SIGKILL");
      expect((await run).exitCode).not.toBe(0);
      await untilNoReceivers(on);
      underway = Math.max(underway, arrived(on) - point);
      lost.push((await wire()).toFar - (arrived(on) - before));
    }
    expect(lost.length).toBe(KILLS);
    for (const bytes of lost) expect(bytes).toBeLessThan(LOSS + OVERHEAD);

    await on.limitRate(undefined);
    const before = arrived(on);
    const wire = await on.countWire();
    expect(await dos(TO_FAR, { on })).toEqual(done);
    expect((await wire()).toFar).toBeLessThan(size - before + OVERHEAD);
    expect(await contentOf(on.far)).toBe(await contentOf(on.near));
  }, 240_000);

  test("is resumed after Ctrl-C, and --verbose prints the offset", async () => {
    const on = of();
    expect((await stoppedBy("SIGINT", on)).exitCode).toBe(130);
    const before = arrived(on);
    expect(before).toBeGreaterThan(10 * MB);
    const run = await dos(["push", "--no-delta", IMAGE, "ssh", "far", `docker-over-ssh pull --verbose ${IMAGE}`], {
      on,
    });
    expect(run).toEqual(done);
    expect(run.stderr).toMatch(/continuing the layer sha256:\w+: .+ MB of .+ MB are present/);
  });

  test("is sent again if its partial file is damaged", async () => {
    const on = of();
    await stoppedBy("SIGKILL", on);
    for (const path of filesOf(on)) {
      if (statSync(path).isFile() && statSync(path).size > MB)
        await execa`dd if=/dev/urandom of=${path} bs=1M seek=5 count=1 conv=notrunc`;
    }
    const first = await dos(TO_FAR, { on });
    if (first.exitCode !== 0) {
      expect(first).toMatchObject({ exitCode: 12 });
      expect(first.stderr).toContain("the part of a layer that an earlier run received is invalid");
      expect(filesOf(on)).toEqual([]);
      expect(await dos(TO_FAR, { on })).toEqual(done);
    }
    expect(await contentOf(on.far)).toBe(await contentOf(on.near));
  });
});
