/** The length of the complete prefix of a tar while the tar is rebuilt. */
import { mkdtemp, open, readFile, rm, type FileHandle } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { cutTar } from "../../../src/delta/cut-tar.ts";
import { decodeRecipe } from "../../../src/delta/decode-recipe.ts";
import { encodeRecipe } from "../../../src/delta/encode-recipe.ts";
import { pieceKeyOf } from "../../../src/delta/piece-key.ts";
import { decodeMissingPieces, encodeMissingPieces } from "../../../src/delta/missing-pieces.ts";
import { TarRebuild } from "../../../src/delta/tar-rebuild.ts";
import { PieceIndex } from "../../../src/delta/piece-index.ts";
import { reusePieces, reusePiecesAlongRecipe } from "../../../src/delta/reuse-pieces.ts";
import { deferred } from "../../../src/streams/deferred.ts";
import { generatedTar } from "./generated-tars.ts";
import { END, entry, noise, streamOf } from "./odd-tars.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "prefix-"));
});
afterAll(async () => await rm(folder, { recursive: true }));

/** Rebuilds `tar`, and compares the file with it each time the complete prefix has grown. Returns the lengths of the prefix. */
async function rebuildWatched(tar: Buffer, deltaBases: Buffer[]): Promise<number[]> {
  const source = join(folder, "source");
  await using sent = await open(source, "w+");
  await sent.write(tar);
  const pieces = new PieceIndex();
  const recipe = decodeRecipe(encodeRecipe(cutTar(streamOf([tar])), { pieces }), { maxSize: tar.length });
  const path = join(folder, "rebuilt");
  await using file = await open(path, "w+");
  const rebuild = TarRebuild.start(file, recipe);
  const lengths: number[] = [];
  const watching = (async () => {
    for (let at = -1; ;) {
      const complete = await rebuild.completePrefix(at);
      if (complete === at) return;
      lengths.push(complete);
      const rebuilt = await readFile(path);
      expect(rebuilt.subarray(0, complete).equals(tar.subarray(0, complete))).toBe(true);
      at = complete;
    }
  })();
  watching.catch(() => {}); // awaited below
  const [first, ...others] = deltaBases;
  if (first !== undefined) await reusePiecesAlongRecipe(streamOf([first]), rebuild);
  await rebuild.recipeRead;
  for (const base of others) await reusePieces(streamOf([base]), rebuild);
  const missing = decodeMissingPieces(encodeMissingPieces(rebuild.missingOrdinals()), pieces.count);
  await rebuild.fill(pieces.read(sent, missing));
  await watching;
  return lengths;
}

test("reports only complete prefixes, up to the whole tar", async () => {
  for (let seed = 0; seed < 30; seed += 1) {
    const tar = generatedTar(seed, { parts: 12, version: 2 });
    const deltaBases = [generatedTar(seed, { parts: 12, version: 1 }), generatedTar(seed + 1, { parts: 12 })];
    const lengths = await rebuildWatched(tar, deltaBases.slice(0, seed % 3));
    expect(lengths.at(-1)).toBe(tar.length);
  }
});

test("extends the prefix during the rebuild, up to the first missing piece", async () => {
  const file = (at: number, version: number): Buffer =>
    entry({ name: `app/${at}`, content: noise(250_000, 2000 + at + 1000 * version) });
  const files = Array.from({ length: 160 }, (_, at) => at);
  const v1 = Buffer.concat([...files.map((at) => file(at, 0)), END]);
  const v2 = Buffer.concat([...files.map((at) => file(at, at === 100 ? 1 : 0)), END]);
  const lengths = await rebuildWatched(v2, [v1]);
  const before = lengths.slice(0, -1);
  expect(Math.max(...before)).toBeGreaterThan(v2.length / 10);
  expect(Math.max(...before)).toBeLessThan(101 * file(0, 0).length);
});

test("excludes data that is still being written from the prefix", async () => {
  const tar = Buffer.concat([
    entry({ name: "app/large", content: noise(1_000_000, 7) }),
    entry({ name: "app/small", content: noise(1000, 8) }),
    END,
  ]);
  await using file = await open(join(folder, "slow"), "w+");
  const writable = deferred<void>();
  const slow = {
    fd: file.fd,
    async write(...of: [Buffer, number, number, number]) {
      await writable.promise;
      return await file.write(...of);
    },
  };
  const recipe = decodeRecipe(encodeRecipe(cutTar(streamOf([tar]))), { maxSize: tar.length });
  const rebuild = TarRebuild.start(slow as unknown as FileHandle, recipe);
  await rebuild.recipeRead;
  const lengths: number[] = [];
  const watching = rebuild.completePrefix(512).then((bytes) => lengths.push(bytes));
  const flushes: Promise<void>[] = [];
  for await (const batch of cutTar(streamOf([tar])))
    for (const name of ["app/large", "app/small"]) {
      for (const segment of batch)
        if (segment.kind === "content" && segment.path === name)
          rebuild.offer(pieceKeyOf(segment.bytes), segment.bytes);
      flushes.push(rebuild.flush());
    }
  for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  expect(lengths).toEqual([]);
  writable.resolve();
  await Promise.all([...flushes, watching]);
  expect(await rebuild.completePrefix(tar.length)).toBe(tar.length);
});

test("describes 16 MB of the tar in a frame, so that a layer is rebuilt while it is cut", async () => {
  const files = Array.from({ length: 10 }, (_, at) => entry({ name: `app/${at}`, content: noise(5_000_000, at) }));
  let frames = 0;
  for await (const _ of encodeRecipe(cutTar(streamOf([...files, END])))) frames += 1;
  expect(frames).toBe(3);
});

test("stops waiting for the prefix when the rebuild is stopped, and when the recipe fails", async () => {
  await using file = await open(join(folder, "stopped"), "w+");
  const tar = Buffer.concat([entry({ name: "app/1", content: noise(250_000, 1) }), END]);
  const rebuild = TarRebuild.start(file, decodeRecipe(encodeRecipe(cutTar(streamOf([tar]))), { maxSize: tar.length }));
  const waiting = rebuild.completePrefix(1000);
  await rebuild.recipeRead;
  await rebuild.stop();
  await expect(waiting).rejects.toThrow("was stopped");

  // oxlint-disable-next-line require-yield
  async function* bad(): AsyncGenerator<never[]> {
    throw new Error("the link is gone");
  }
  await expect(TarRebuild.start(file, bad()).completePrefix(0)).rejects.toThrow("the link is gone");
});
