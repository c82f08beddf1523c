import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { newRunId } from "../../../src/engine/run-id.ts";
import { withLock } from "../../../src/store/lock.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lock-"));
});
afterAll(async () => await rm(folder, { recursive: true }));

test("one after the other, also when one of them fails", async () => {
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

test("the lock of a run that is gone is taken over, and one that names no run when it is old", async () => {
  const path = join(folder, "left");
  // No process has that number: Linux ends at 4 million.
  await writeFile(`${path}.lock`, newRunId(999_999_999));
  expect(await withLock(path, newRunId(), async () => await readFile(`${path}.lock`, "utf8"))).toContain(
    `-${process.pid}-`,
  );
  await writeFile(`${path}.lock`, "");
  await utimes(`${path}.lock`, 0, 0);
  expect(await withLock(path, newRunId(), async () => "taken")).toBe("taken");
});
