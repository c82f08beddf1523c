/** How much of a file's beginning is what it will be, is told while it is put together. */
import { mkdtemp, open, readFile, rm, type FileHandle } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { cut } from "../../../src/delta/cut-tar.ts";
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
  folder = await mkdtemp(join(tmpdir(), "filled-"));
});
afterAll(async () => await rm(folder, { recursive: true }));

/** Makes `tar` of the seeds and itself, and compares what is told to be there with what is, each time that it is more. */
async function make(tar: Buffer, deltaBases: Buffer[]): Promise<number[]> {
  const source = join(folder, "source");
  await using sent = await open(source, "w+");
  await sent.write(tar);
  const pieces = new PieceIndex();
  const recipe = decodeRecipe(encodeRecipe(cut(streamOf([tar])), { pieces }), { maxSize: tar.length });
  const path = join(folder, "made");
  await using file = await open(path, "w+");
  const rebuild = TarRebuild.start(file, recipe);
  const told: number[] = [];
  const watching = (async () => {
    for (let at = -1; ;) {
      const filled = await rebuild.filled(at);
      if (filled === at) return;
      told.push(filled);
      const made = await readFile(path);
      expect(made.subarray(0, filled).equals(tar.subarray(0, filled))).toBe(true);
      at = filled;
    }
  })();
  watching.catch(() => {}); // awaited below
  const [first, ...others] = deltaBases;
  if (first !== undefined) await reusePiecesAlongRecipe(streamOf([first]), rebuild);
  await rebuild.read;
  for (const seed of others) await reusePieces(streamOf([seed]), rebuild);
  const missing = decodeMissingPieces(encodeMissingPieces(rebuild.missing()), pieces.count);
  await rebuild.fill(pieces.read(sent, missing));
  await watching;
  return told;
}

test("what is told to be there is there, and in the end that is all", async () => {
  for (let seed = 0; seed < 30; seed += 1) {
    const tar = generatedTar(seed, { parts: 12, version: 2 });
    const deltaBases = [generatedTar(seed, { parts: 12, version: 1 }), generatedTar(seed + 1, { parts: 12 })];
    const told = await make(tar, deltaBases.slice(0, seed % 3));
    expect(told.at(-1)).toBe(tar.length);
  }
});

test("it is told while the layer is put together, up to the first piece that is missing", async () => {
  const file = (at: number, version: number): Buffer =>
    entry({ name: `app/${at}`, content: noise(250_000, 2000 + at + 1000 * version) });
  const files = Array.from({ length: 160 }, (_, at) => at);
  const v1 = Buffer.concat([...files.map((at) => file(at, 0)), END]);
  const v2 = Buffer.concat([...files.map((at) => file(at, at === 100 ? 1 : 0)), END]);
  const told = await make(v2, [v1]);
  const before = told.slice(0, -1);
  expect(Math.max(...before)).toBeGreaterThan(v2.length / 10);
  expect(Math.max(...before)).toBeLessThan(101 * file(0, 0).length);
});

test("it is not told of what is still being written", async () => {
  const tar = Buffer.concat([
    entry({ name: "app/large", content: noise(1_000_000, 7) }),
    entry({ name: "app/small", content: noise(1000, 8) }),
    END,
  ]);
  await using file = await open(join(folder, "slow"), "w+");
  const proxy = deferred<void>();
  const slow = {
    fd: file.fd,
    async write(...of: [Buffer, number, number, number]) {
      await proxy.promise;
      return await file.write(...of);
    },
  };
  const recipe = decodeRecipe(encodeRecipe(cut(streamOf([tar]))), { maxSize: tar.length });
  const rebuild = TarRebuild.start(slow as unknown as FileHandle, recipe);
  await rebuild.read;
  const told: number[] = [];
  const watching = rebuild.filled(512).then((bytes) => told.push(bytes));
  const flushes: Promise<void>[] = [];
  for await (const batch of cut(streamOf([tar])))
    for (const name of ["app/large", "app/small"]) {
      for (const segment of batch)
        if (segment.kind === "content" && segment.path === name)
          rebuild.offer(pieceKeyOf(segment.bytes), segment.bytes);
      flushes.push(rebuild.flush());
    }
  for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  expect(told).toEqual([]);
  proxy.resolve();
  await Promise.all([...flushes, watching]);
  expect(await rebuild.filled(tar.length)).toBe(tar.length);
});

test("a recipe is told in parts of 16 MB of the tar, so that a layer can be made while it is cut", async () => {
  const files = Array.from({ length: 10 }, (_, at) => entry({ name: `app/${at}`, content: noise(5_000_000, at) }));
  let frames = 0;
  for await (const _ of encodeRecipe(cut(streamOf([...files, END])))) frames += 1;
  expect(frames).toBe(3);
});

test("whoever waits is told that it is not made any more, and why it cannot be", async () => {
  await using file = await open(join(folder, "left"), "w+");
  const tar = Buffer.concat([entry({ name: "app/1", content: noise(250_000, 1) }), END]);
  const rebuild = TarRebuild.start(file, decodeRecipe(encodeRecipe(cut(streamOf([tar]))), { maxSize: tar.length }));
  const waiting = rebuild.filled(1000);
  await rebuild.read;
  await rebuild.leave();
  await expect(waiting).rejects.toThrow("not made any more");

  // oxlint-disable-next-line require-yield
  async function* bad(): AsyncGenerator<never[]> {
    throw new Error("the link is gone");
  }
  await expect(TarRebuild.start(file, bad()).filled(0)).rejects.toThrow("the link is gone");
});
