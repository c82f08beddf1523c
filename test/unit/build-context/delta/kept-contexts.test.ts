import { chmod, mkdir, mkdtemp, readdir, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { freePacks, KeptContext, type KeptContextLimits } from "../../../../src/build-context/delta/kept-contexts.ts";
import { pieceDigest, type Piece } from "../../../../src/build-context/delta/piece.ts";
import { digestOf } from "../../../../src/image/digest.ts";
import { newRunId } from "../../../../src/run/run-id.ts";
import { pseudoRandomBytes } from "../../pseudo-random.ts";

let home: string;
let contexts: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "kept-"));
  contexts = join(home, "docker-over-ssh/contexts");
});
afterEach(async () => await rm(home, { recursive: true }));

const kept = (project: string, limits?: KeptContextLimits): KeptContext =>
  new KeptContext({
    env: { XDG_CACHE_HOME: home },
    runId: newRunId(),
    project: digestOf(project),
    ...(limits && { limits }),
  });

/** Receives a piece for a project, as a run does. */
async function use(project: string, size: number, limits?: KeptContextLimits): Promise<void> {
  const content = pseudoRandomBytes(size, size);
  const pack = await kept(project, limits).update({}, async (file) => {
    const piece: Piece = { digest: pieceDigest(content), size };
    if (file.sizeOf(piece.digest) === undefined) await file.append([{ digest: piece.digest, content }]);
    return [piece];
  });
  await pack[Symbol.asyncDispose]();
}

const nameOf = (project: string): string => `${digestOf(project).slice(7)}.pack`;
const day = 24 * 3600_000;

async function setAge(project: string, ms: number): Promise<void> {
  const then = new Date(Date.now() - ms);
  await utimes(join(contexts, nameOf(project)), then, then);
}

test("stores one pack for each project, in a folder of this user alone", async () => {
  await use("a", 1000);
  await use("b", 1000);
  expect((await readdir(contexts)).toSorted()).toEqual([nameOf("a"), nameOf("b")].toSorted());
  expect((await stat(contexts)).mode & 0o777).toBe(0o700);
});

test("removes the least recently used packs when they exceed the limit of bytes, and each pack after 30 days", async () => {
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
    const failed = kept("a", { bytes: 100_000, age: day }).update({}, async (pack) => {
      await pack.append([{ digest: pieceDigest(content), content }]);
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

test("neither removes nor lists a pack that another run updates", async () => {
  await use("busy", 50_000);
  await setAge("busy", 40 * day);
  const pack = await kept("busy").update({}, async () => {
    expect(await freePacks(contexts)).toEqual([]);
    await use("other", 50_000);
    return [];
  });
  await pack[Symbol.asyncDispose]();
  expect(await readdir(contexts)).toContain(nameOf("busy"));
});

test("a context that exceeds the limit of kept bytes can still be read in this run", async () => {
  const content = Buffer.from("some content");
  const piece = { digest: pieceDigest(content), size: content.length };
  await using pack = await kept("a", { bytes: 5, age: day }).update({}, async (file) => {
    await file.append([{ digest: piece.digest, content }]);
    return [piece];
  });
  expect(await readdir(contexts)).toEqual([]);
  expect(await pack.read(piece)).toEqual(content);
});

test("reports a folder that cannot be created, and uses an unnamed pack", async () => {
  await mkdir(join(home, "docker-over-ssh"), { mode: 0o700 });
  await writeFile(contexts, "a file in its place");
  const reasons: string[] = [];
  const options = { env: { XDG_CACHE_HOME: home }, runId: newRunId(), project: digestOf("a") };
  await using pack = await new KeptContext({ ...options, onNotKept: (why) => reasons.push(why) }).update(
    {},
    async () => [],
  );
  expect(pack.isEmpty).toBe(true);
  expect(reasons).toHaveLength(1);
  await expect(stat(pack.path)).rejects.toThrow("ENOENT");
});

test("does not use a folder that other users may read", async () => {
  await mkdir(contexts, { recursive: true, mode: 0o700 });
  await chmod(contexts, 0o755);
  const reasons: string[] = [];
  const options = { env: { XDG_CACHE_HOME: home }, runId: newRunId(), project: digestOf("a") };
  await using pack = await new KeptContext({ ...options, onNotKept: (why) => reasons.push(why) }).update(
    {},
    async () => [],
  );
  expect(reasons).toEqual([expect.stringContaining("not a folder of this user alone")]);
  expect(pack.isEmpty).toBe(true);
  expect(await readdir(contexts)).toEqual([]);
});
