import { chmod, mkdir, mkdtemp, readdir, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  freePieceStores,
  StoredContext,
  type StoredContextLimits,
} from "../../../../src/build-context/delta/stored-context.ts";
import { pieceDigest, type Piece } from "../../../../src/build-context/delta/piece.ts";
import { digestOf } from "../../../../src/image/digest.ts";
import { newRunId } from "../../../../src/run/run-id.ts";
import { pseudoRandomBytes } from "../../pseudo-random.ts";

let home: string;
let contexts: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "stored-"));
  contexts = join(home, "docker-over-ssh/contexts");
});
afterEach(async () => await rm(home, { recursive: true }));

const stored = (project: string, limits?: StoredContextLimits): StoredContext =>
  new StoredContext({
    env: { XDG_CACHE_HOME: home },
    runId: newRunId(),
    project: digestOf(project),
    ...(limits && { limits }),
  });

/** Receives a piece for a project, as a run does. */
async function use(project: string, size: number, limits?: StoredContextLimits): Promise<void> {
  const content = pseudoRandomBytes(size, size);
  const store = await stored(project, limits).update({}, async (file) => {
    const piece: Piece = { digest: pieceDigest(content), size };
    if (file.sizeOf(piece.digest) === undefined) await file.append([{ digest: piece.digest, content }]);
    return [piece];
  });
  await store[Symbol.asyncDispose]();
}

const nameOf = (project: string): string => `${digestOf(project).slice(7)}.pack`;
const day = 24 * 3600_000;

async function setAge(project: string, ms: number): Promise<void> {
  const then = new Date(Date.now() - ms);
  await utimes(join(contexts, nameOf(project)), then, then);
}

test("has one piece store for each project, in a folder of this user alone", async () => {
  await use("a", 1000);
  await use("b", 1000);
  expect((await readdir(contexts)).toSorted()).toEqual([nameOf("a"), nameOf("b")].toSorted());
  expect((await stat(contexts)).mode & 0o777).toBe(0o700);
});

test("removes the least recently used piece stores when they exceed the limit of bytes, and each after 30 days", async () => {
  for (const [at, project] of ["a", "b", "c"].entries()) {
    await use(project, 50_000);
    await setAge(project, (10 - at) * day);
  }
  await use("d", 50_000, { bytes: 170_000, age: 30 * day });
  expect((await readdir(contexts)).toSorted()).toEqual(["b", "c", "d"].map(nameOf).toSorted());
  await setAge("b", 31 * day);
  await use("d", 50_000);
  expect((await readdir(contexts)).toSorted()).toEqual(["c", "d"].map(nameOf).toSorted());
});

test("the leftovers of failed runs do not grow without limit", async () => {
  const fail = async (size: number): Promise<void> => {
    const content = pseudoRandomBytes(size, size);
    const failed = stored("a", { bytes: 100_000, age: day }).update({}, async (store) => {
      await store.append([{ digest: pieceDigest(content), content }]);
      throw new Error("cut off");
    });
    await expect(failed).rejects.toThrow("cut off");
  };
  const sizes: number[] = [];
  for (let run = 0; run < 4; run += 1) {
    await fail(60_000 + run);
    sizes.push((await stat(join(contexts, nameOf("a")))).size);
  }
  expect(sizes.map((size) => Math.floor(size / 60_000))).toEqual([1, 2, 1, 2]);
});

test("neither removes nor lists a piece store that another run updates", async () => {
  await use("busy", 50_000);
  await setAge("busy", 40 * day);
  const store = await stored("busy").update({}, async () => {
    expect(await freePieceStores(contexts)).toEqual([]);
    await use("other", 50_000);
    return [];
  });
  await store[Symbol.asyncDispose]();
  expect(await readdir(contexts)).toContain(nameOf("busy"));
});

test("a context that exceeds the limit of stored bytes can still be read in this run", async () => {
  const content = Buffer.from("some content");
  const piece = { digest: pieceDigest(content), size: content.length };
  await using store = await stored("a", { bytes: 5, age: day }).update({}, async (file) => {
    await file.append([{ digest: piece.digest, content }]);
    return [piece];
  });
  expect(await readdir(contexts)).toEqual([]);
  expect(await store.read(piece)).toEqual(content);
});

test("reports a folder that cannot be created, and uses an unnamed piece store", async () => {
  await mkdir(join(home, "docker-over-ssh"), { mode: 0o700 });
  await writeFile(contexts, "a file in its place");
  const reasons: string[] = [];
  const options = { env: { XDG_CACHE_HOME: home }, runId: newRunId(), project: digestOf("a") };
  await using store = await new StoredContext({ ...options, onNotStored: (why) => reasons.push(why) }).update(
    {},
    async () => [],
  );
  expect(store.isEmpty).toBe(true);
  expect(reasons).toHaveLength(1);
  await expect(stat(store.path)).rejects.toThrow("ENOENT");
});

test("does not use a folder that other users may read", async () => {
  await mkdir(contexts, { recursive: true, mode: 0o700 });
  await chmod(contexts, 0o755);
  const reasons: string[] = [];
  const options = { env: { XDG_CACHE_HOME: home }, runId: newRunId(), project: digestOf("a") };
  await using store = await new StoredContext({ ...options, onNotStored: (why) => reasons.push(why) }).update(
    {},
    async () => [],
  );
  expect(reasons).toEqual([expect.stringContaining("not a folder of this user alone")]);
  expect(store.isEmpty).toBe(true);
  expect(await readdir(contexts)).toEqual([]);
});
