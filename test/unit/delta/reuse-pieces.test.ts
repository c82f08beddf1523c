/** An older version is read while the recipe of the new version arrives. */
import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { cutTar } from "../../../src/delta/cut-tar.ts";
import { decodeRecipe } from "../../../src/delta/decode-recipe.ts";
import { encodeRecipe } from "../../../src/delta/encode-recipe.ts";
import { TarRebuild } from "../../../src/delta/tar-rebuild.ts";
import { reusePiecesAlongRecipe } from "../../../src/delta/reuse-pieces.ts";
import type { Instruction } from "../../../src/delta/recipe.ts";
import { deferred } from "../../../src/streams/deferred.ts";
import { END, entry, noise, streamOf } from "./odd-tars.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "along-"));
});
afterAll(async () => await rm(folder, { recursive: true }));

const FILE = 250_000;
const COUNT = 160;
const file = (at: number, version = 0): Buffer =>
  entry({ name: `app/lib/${at}`, content: noise(FILE, 2000 + at + 1000 * version) });
const all = Array.from({ length: COUNT }, (_, at) => at);
/** 40 MB. */
const v1 = Buffer.concat([...all.map((at) => file(at)), END]);
const v2 = Buffer.concat([
  ...all.map((at) => file(at, at % 50 === 3 ? 1 : 0)),
  entry({ name: "app/new", content: noise(FILE, 9123) }),
  END,
]);

/** The recipe of a tar: two thirds of it, then the rest after `goOn`. */
async function halting(tar: Buffer): Promise<{ recipe: AsyncGenerator<Instruction[]>; goOn: () => void }> {
  const batches: Instruction[][] = [];
  const recipe = decodeRecipe(encodeRecipe(cutTar(streamOf([tar]))), { maxSize: tar.length });
  for await (const batch of recipe) for (const one of batch) batches.push([one]);
  const resumed = deferred<void>();
  async function* slow(): AsyncGenerator<Instruction[]> {
    yield* batches.slice(0, (batches.length * 2) / 3);
    await resumed.promise;
    yield* batches.slice((batches.length * 2) / 3);
  }
  return { recipe: slow(), goOn: () => resumed.resolve() };
}

/** Returns a stream of the tar in chunks, which counts the bytes that are read. */
function counting(tar: Buffer): {
  stream: AsyncGenerator<Buffer>;
  read: () => number;
  reached: (at: number) => Promise<void>;
} {
  let read = 0;
  let changed = deferred<void>();
  async function* stream(): AsyncGenerator<Buffer> {
    for (; read < tar.length; changed.resolve(), changed = deferred()) {
      const chunk = tar.subarray(read, read + 500_000);
      read += chunk.length;
      yield chunk;
    }
  }
  const reached = async (at: number): Promise<void> => {
    for (;;) {
      if (read >= at) return;
      await changed.promise;
    }
  };
  return { stream: stream(), read: () => read, reached };
}

test("reads the older tar behind the recipe, and has written its files when the recipe ends", async () => {
  const path = join(folder, "v2");
  await using target = await open(path, "w");
  const { recipe, goOn } = await halting(v2);
  const rebuild = TarRebuild.start(target, recipe);
  expect(await rebuild.firstFolder()).toBe("/app/lib");
  const older = counting(v1);
  const reading = reusePiecesAlongRecipe(older.stream, rebuild);
  await older.reached(8_000_000);
  expect(rebuild.isRecipeRead).toBe(false);
  goOn();
  const unused = await reading;
  await rebuild.recipeRead;
  // Files 3, 53, 103, 153 and the new file.
  expect(rebuild.missing.bytes).toBe(5 * FILE);
  expect(rebuild.distinctBytes).toBe((COUNT + 1) * FILE);
  expect(rebuild.bytesOutsideFirstFolder).toBe(FILE);
  expect(rebuild.missingBytesWhere((key) => unused.mayHave(key))).toBeLessThan(FILE);
  expect(rebuild.folders).toEqual(["/app"]);
  const rebuilt = await readFile(path);
  expect(rebuilt.subarray(0, 3 * file(0).length).equals(v1.subarray(0, 3 * file(0).length))).toBe(true);
});

test("stops reading the older tar while the recipe stalls", async () => {
  await using target = await open(join(folder, "waits"), "w");
  const { recipe, goOn } = await halting(v2);
  const rebuild = TarRebuild.start(target, recipe);
  const older = counting(v1);
  const reading = reusePiecesAlongRecipe(older.stream, rebuild);
  await rebuild.recipeReaches((v2.length * 3) / 5);
  await older.reached(8_000_000);
  for (let turn = 0; turn < 200; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  // Two thirds of the tar are described, and reading stays 16 MB behind.
  expect(older.read()).toBeLessThan((v2.length * 2) / 3 - 14_000_000);
  goOn();
  await reading;
  expect(older.read()).toBe(v1.length);
});

test("returns the keys of pieces in another order, for a second read", async () => {
  const turned = Buffer.concat([...all.toReversed().map((at) => file(at)), END]);
  await using target = await open(join(folder, "turned"), "w");
  const { recipe, goOn } = await halting(v2);
  const rebuild = TarRebuild.start(target, recipe);
  const reading = reusePiecesAlongRecipe(streamOf([turned]), rebuild);
  await rebuild.recipeReaches(v2.length / 2);
  goOn();
  const unused = await reading;
  await rebuild.recipeRead;
  expect(rebuild.missing.bytes).toBeGreaterThan(10 * FILE);
  expect(rebuild.missingBytesWhere((key) => unused.mayHave(key))).toBeGreaterThan(rebuild.missing.bytes - 6 * FILE);
});

test("returns no first folder if files are in several folders, or if the recipe of a short layer fails", async () => {
  await using target = await open(join(folder, "several"), "w");
  const several = Buffer.concat([
    ...all.map((at) => entry({ name: `${at % 2 ? "usr" : "etc"}/x/${at}`, content: noise(FILE, 2000 + at) })),
    END,
  ]);
  const { recipe, goOn } = await halting(several);
  goOn();
  expect(await TarRebuild.start(target, recipe).firstFolder()).toBeUndefined();

  async function* bad(): AsyncGenerator<Instruction[]> {
    yield [{ kind: "literal", bytes: END }];
  }
  const rebuild = TarRebuild.start(target, bad());
  expect(await rebuild.firstFolder()).toBeUndefined();
  await expect(rebuild.recipeRead).rejects.toThrow("the recipe has no end");
});
