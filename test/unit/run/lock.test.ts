import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { newRunId } from "../../../src/run/run-id.ts";
import { isLocked, withLock } from "../../../src/run/lock.ts";
import { removePartialFiles } from "../../../src/run/partial-file.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lock-"));
});
afterAll(async () => await rm(folder, { recursive: true }));

/** Returns the run of a process ID that does not exist: the maximum on Linux is 4 million. */
const deadRun = (): string => newRunId(999_999_999);

/** Leaves the lock of a run that was killed while it held it. */
async function leaveLock(path: string, run = deadRun()): Promise<void> {
  await new Promise<void>((taken) => void withLock(path, run, async () => await new Promise(() => taken())));
}

test("gives the lock to one run at a time, also when a run fails", async () => {
  const path = join(folder, "index.json");
  let inside = 0;
  const work = async (fails: boolean): Promise<number> =>
    await withLock(path, newRunId(), async () => {
      inside += 1;
      const seen = inside;
      await setImmediate();
      inside -= 1;
      if (fails) throw new Error("no");
      return seen;
    });
  const done = await Promise.allSettled([work(false), work(true), work(false), work(false)]);
  expect(done.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled", "fulfilled"]);
  expect(done.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []))).toEqual([1, 1, 1]);
  expect(await readdir(folder)).toEqual([]);
});

/** A process that takes the lock of each path it receives, and answers whether it was the only holder. */
const CONTENDER = `
  const { withLock } = await import(process.argv[1] + "/run/lock.js");
  const { newRunId } = await import(process.argv[1] + "/run/run-id.js");
  const { mkdirSync, rmdirSync, readdirSync } = await import("node:fs");
  process.on("message", async (path) => {
    let isAlone = true;
    await withLock(path, newRunId(), async () => {
      try {
        mkdirSync(path + ".inside");
        for (let turn = 0; turn < 100; turn++) readdirSync("/");
        rmdirSync(path + ".inside");
      } catch {
        isAlone = false;
      }
    });
    process.send(isAlone);
  });
  process.send("ready");`;

test.each([
  ["a lock of this version", leaveLock],
  ["a lock of version 0.1", async (path: string) => await writeFile(`${path}.lock`, deadRun())],
])("gives the lock of a dead run to one of several processes at a time: %s", async (_, leave) => {
  const raced = await mkdtemp(join(folder, "raced-"));
  const words = ["--input-type=module", "--eval", CONTENDER, join(import.meta.dirname, "../../../dist")];
  const contenders = Array.from({ length: 4 }, () =>
    spawn(process.execPath, words, { stdio: ["ignore", "inherit", "inherit", "ipc"] }),
  );
  const answers = async (): Promise<unknown[]> =>
    (await Promise.all(contenders.map(async (one) => await once(one, "message")))).map(([answer]) => answer as unknown);
  try {
    await answers();
    for (let round = 0; round < 30; round++) {
      const path = join(raced, String(round));
      await leave(path);
      const answered = answers();
      for (const contender of contenders) contender.send(path);
      expect(await answered).toEqual([true, true, true, true]);
    }
    expect(await readdir(raced)).toEqual([]);
  } finally {
    for (const contender of contenders) contender.kill();
    await rm(raced, { recursive: true });
  }
});

test("reports once that it waits for the lock, and stops waiting at the signal or the timeout", async () => {
  const path = join(folder, "waited");
  let release: () => void = () => {};
  const holder = withLock(path, newRunId(), async () => await new Promise<void>((resolve) => (release = resolve)));
  await expect.poll(async () => await isLocked(path)).toBe(true);
  const controller = new AbortController();
  const reason = new Error("interrupted");
  let waits = 0;
  const onWait = (): void => {
    waits += 1;
    controller.abort(reason);
  };
  const options = { timeout: Infinity, signal: controller.signal, onWait };
  await expect(withLock(path, newRunId(), async () => {}, options)).rejects.toBe(reason);
  expect(waits).toBe(1);
  await expect(withLock(path, newRunId(), async () => {}, { timeout: 0 })).rejects.toThrow("has held");
  release();
  await holder;
  expect(await isLocked(path)).toBe(false);
  expect(await readdir(folder)).toEqual([]);
});

test("does not count a lock of a dead run as locked", async () => {
  const path = join(folder, "left");
  await leaveLock(path);
  expect(await isLocked(path)).toBe(false);
  await withLock(path, newRunId(), async () => {});
});

test("does not take over the lock of a living run", async () => {
  const path = join(folder, "living");
  const order: string[] = [];
  let release: () => void = () => {};
  const first = withLock(path, newRunId(), async () => {
    await new Promise<void>((resolve) => (release = resolve));
    order.push("first");
  });
  await expect.poll(() => readdir(`${path}.lock`).catch(() => [])).toHaveLength(1);
  const second = withLock(path, newRunId(), async () => order.push("second"));
  await expect.poll(async () => (await readdir(folder)).length).toBe(2); // the second run waits
  release();
  await Promise.all([first, second]);
  expect(order).toEqual(["first", "second"]);
});

describe("replaces a path that is not the lock of a run:", () => {
  test.each<[string, (lock: string) => Promise<unknown> | void]>([
    ["a link that leads nowhere", async (lock) => await symlink(`${lock}-of-nobody`, lock)],
    ["a link to a folder", async (lock) => await symlink("/proc", lock)],
    ["a FIFO", (lock) => void execFileSync("mkfifo", [lock])],
    ["an empty folder", async (lock) => await mkdir(lock)],
    ["an empty file", async (lock) => await writeFile(lock, "")],
  ])("%s", async (_, make) => {
    const path = join(folder, "strange");
    await make(`${path}.lock`);
    expect(await withLock(path, newRunId(), async () => await readdir(folder))).toEqual(["strange.lock"]);
    expect(await readdir(folder)).toEqual([]);
  });
});

test("removes the lock that a killed run has prepared with its partial files", async () => {
  const [dead, alive] = [deadRun(), newRunId()];
  for (const run of [dead, alive]) {
    await mkdir(join(folder, `index.json.lock.${run}.part`));
    await writeFile(join(folder, `index.json.lock.${run}.part`, run), "");
  }
  await mkdir(join(folder, `other.${dead}.part`));
  await writeFile(join(folder, `other.${dead}.part`, "somebody's"), "stays");
  expect(await removePartialFiles(folder)).toEqual([
    { kind: "file", path: join(folder, `index.json.lock.${dead}.part`) },
  ]);
  expect(await readFile(join(folder, `other.${dead}.part`, "somebody's"), "utf8")).toBe("stays");
  await rm(join(folder, `index.json.lock.${alive}.part`), { recursive: true });
  await rm(join(folder, `other.${dead}.part`), { recursive: true });
});
