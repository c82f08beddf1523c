import type { LayerDelta } from "../../../src/registry/embedded/pull/registry-content.ts";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { describe, expect, test, vi } from "vitest";
import { LayerRebuilder } from "../../../src/rebuild/layer-rebuilder.ts";
import type { AnnouncedLayer } from "../../../src/conversation/messages.ts";
import { cutTar } from "../../../src/delta/cut-tar.ts";
import { encodeRecipe } from "../../../src/delta/encode-recipe.ts";
import { newRunId } from "../../../src/run/run-id.ts";
import { sizeLimit, SizeLimitExceeded } from "../../../src/image/layer/size-limit.ts";
import { digestOf, type Digest } from "../../../src/image/digest.ts";
import { MEDIA_TYPE } from "../../../src/image/manifest.ts";
import { InvalidPackedStream } from "../../../src/packing/unpack.ts";
import { ResumeCache } from "../../../src/store/resume-cache.ts";
import { queue } from "../../../src/streams/queue.ts";
import type { Detail } from "../../../src/output/details.ts";
import { detailText } from "../../../src/output/detail-texts.ts";
import { generatedTar } from "../delta/generated-tars.ts";
import { damaged } from "../delta/odd-tars.ts";
import { pseudoRandom } from "../pseudo-random.ts";
import {
  ALWAYS,
  type Harm,
  basesOf,
  chunksOf,
  cutLayer,
  folder,
  rebuild,
  receiving,
  v1,
  v2,
  useTwoSides,
  newCutter,
} from "./two-sides.ts";

useTwoSides();

const [INVALID, TRUNCATED] = [
  "the sending side's recipe or pieces are invalid",
  "the sending side could not cut all of it",
];
const flipped = (bytes: Buffer): Buffer => Buffer.from(bytes).fill((bytes[100] ?? 0) ^ 1, 100, 101);

test.each([
  ["a recipe of another layer", INVALID, { recipe: flipped }],
  ["a truncated recipe, as from a sender whose disk is full", TRUNCATED, { recipe: (bytes) => bytes.subarray(0, -1) }],
  ["an empty recipe, as from a sender whose disk was already full", TRUNCATED, { recipe: () => Buffer.alloc(0) }],
  ["other pieces than were requested", INVALID, { pieces: flipped }],
  ["a piece too few", INVALID, { pieces: (bytes) => bytes.subarray(0, -1) }],
  ["a piece too many", INVALID, { pieces: (bytes) => Buffer.concat([bytes, bytes]) }],
] satisfies [string, string, Harm][])(
  "fetches the layer whole, and removes its file, after %s",
  async (_, why, harm) => {
    const { path, details, bytesFound } = await rebuild(v2, await cutLayer(v2), basesOf(v1), harm);
    expect(path).toBeUndefined();
    expect(bytesFound).toBe(0);
    expect(details.at(-1)).toContain(`is sent whole: ${why} (`);
    const spool = await receiving.open();
    expect(existsSync(spool.pathFor(`${digestOf(v2).slice(7)}.rebuilt`))).toBe(false);
  },
);

test("fetches a layer whole if the sender's disk is full at the first byte, however late the recipe is read", async () => {
  async function* full(): AsyncGenerator<Buffer> {
    yield v2.subarray(0, 65_000);
    throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
  }
  const cutter = newCutter();
  let cut: LayerDelta | undefined;
  const cutting = cutter.cut(await cutter.createFiles(digestOf(v2)), full, (begun) => (cut = begun));
  await expect(cutting).rejects.toMatchObject({ code: "ENOSPC" });
  const { whole, details } = await rebuild(v2, { cut }, basesOf(v1));
  expect(whole).toMatchObject({ digest: digestOf(v2) });
  expect(details.at(-1)).toContain(TRUNCATED);
});

test("never accepts a wrong layer after damaged messages: rebuilds it correctly, fetches it whole, or fails", async () => {
  const random = pseudoRandom(1);
  const outcomes = { right: 0, whole: 0, failed: 0 };
  for (let seed = 0; seed < 90; seed += 1) {
    const tar = generatedTar(seed, { parts: 6 });
    const deltaBases = basesOf(generatedTar(seed, { parts: 6, version: 1 }));
    const harm = (bytes: Buffer): Buffer => (bytes.length === 0 ? bytes : damaged(bytes, random));
    const what = (["recipe", "pieces", "packed"] as const)[seed % 3] as keyof Harm;
    try {
      const { path } = await rebuild(tar, await cutLayer(tar), deltaBases, { [what]: harm });
      outcomes[path === undefined ? "whole" : "right"] += 1;
      if (path !== undefined) expect(readFileSync(path).equals(tar), `seed ${seed}`).toBe(true);
    } catch (error) {
      if (what !== "packed") throw error;
      expect(error, `seed ${seed}`).toBeInstanceOf(InvalidPackedStream);
      outcomes.failed += 1;
    }
  }
  for (const count of Object.values(outcomes)) expect(count).toBeGreaterThan(5);
});

describe("recipes of a malicious sender", () => {
  const MB = 1_000_000;
  const limit = 5 * MB;
  const env = (): NodeJS.ProcessEnv => ({ XDG_CACHE_HOME: folder });
  const onDisk = (): number =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);

  /** Rebuilds layers from these recipes, and returns the result or the error of the last rebuild. */
  async function rebuildAll(
    recipes: Map<Digest, Buffer | AsyncIterable<Buffer>>,
    resumeCache: ResumeCache,
    onDetail: (detail: Detail) => void = () => {},
  ): Promise<unknown> {
    await using rebuilder = new LayerRebuilder({
      client: {
        recipe: async (_, digest) => {
          const recipe = recipes.get(digest) ?? Buffer.alloc(0);
          return Buffer.isBuffer(recipe) ? Readable.from([recipe]) : recipe;
        },
        pieces: async () => await Promise.reject(new Error("there are none")),
        sizeOf: async () => 3 * MB,
      },
      repository: "app",
      progress: { find: () => {}, receivePieces: () => {} },
      choice: ALWAYS,
      deltaBases: basesOf(),
      spool: receiving,
      resumeCache,
      limit: sizeLimit(limit),
      signal: new AbortController().signal,
      onBytes: () => {},
      onDetail,
    });
    const cuttable = queue<AnnouncedLayer>();
    const layers = [...recipes.keys()].map((diffId) => ({
      diffId,
      digest: diffId,
      mediaType: MEDIA_TYPE.ociLayer,
      size: 3 * MB,
      cutting: "leaves-blob" as const,
    }));
    for (const layer of layers) cuttable.push(layer);
    cuttable.end();
    await rebuilder.rebuildAll(cuttable);
    return await rebuilder.rebuild(layers.at(-1) as AnnouncedLayer).catch((error: unknown) => error);
  }

  async function recipeOf(plain: Buffer): Promise<Buffer> {
    const chunks: Buffer[] = [];
    for await (const chunk of encodeRecipe(cutTar(Readable.from(chunksOf(plain))))) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  test("count against --max-size during the rebuild", async () => {
    const tars = Array.from({ length: 4 }, (_, index) => Buffer.alloc(3 * MB - 512 * index - ((3 * MB) % 512)));
    const recipes = new Map(await Promise.all(tars.map(async (tar) => [digestOf(tar), await recipeOf(tar)] as const)));
    await using resumeCache = new ResumeCache({ env: env(), runId: newRunId() });
    expect(await rebuildAll(recipes, resumeCache)).toBeInstanceOf(SizeLimitExceeded);
    expect(onDisk()).toBeLessThan(limit);
  });

  test("end all rebuilds after a layer that fails verification, which is removed immediately", async () => {
    const recipe = await recipeOf(Buffer.alloc(3 * MB - ((3 * MB) % 512)));
    const recipes = new Map(["a", "b", "c"].map((name) => [digestOf(name), recipe] as const));
    await using resumeCache = new ResumeCache({ env: env(), runId: newRunId() });
    expect(await rebuildAll(recipes, resumeCache)).toMatchObject({ digest: digestOf("c") });
    expect(onDisk()).toBe(0);
  });

  test("end all rebuilds after a truncated recipe, and no layer is reported as invalid", async () => {
    const recipe = await recipeOf(Buffer.alloc(3 * MB - ((3 * MB) % 512)));
    const recipes = new Map(["a", "b"].map((name) => [digestOf(name), recipe.subarray(0, -1)] as const));
    const details: string[] = [];
    await using resumeCache = new ResumeCache({ env: env(), runId: newRunId() });
    await rebuildAll(recipes, resumeCache, (detail) => details.push(detailText(detail)));
    expect(details).toEqual([expect.stringMatching(/could not cut all of it \(.*another layer/)]);
  });

  test("leave no partial rebuild without received pieces", async () => {
    const recipe = await recipeOf(Buffer.alloc(3 * MB - ((3 * MB) % 512)));
    async function* broken(): AsyncGenerator<Buffer> {
      yield recipe;
      throw new Error("the link is dead");
    }
    const onStored = vi.fn<(bytes: number) => void>();
    {
      await using resumeCache = new ResumeCache({ env: env(), runId: newRunId(), onStored });
      expect(await rebuildAll(new Map([[digestOf("a"), broken()]]), resumeCache)).toMatchObject({
        message: "the link is dead",
      });
    }
    expect(onStored).not.toHaveBeenCalled();
    expect(onDisk()).toBe(0);
  });
});
