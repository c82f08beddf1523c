import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { LayerRebuilder, type LayerRebuilderOptions } from "../../../src/rebuild/layer-rebuilder.ts";
import { LinkRate } from "../../../src/rebuild/link-rate.ts";
import type { DeltaBases } from "../../../src/rebuild/delta-bases.ts";
import { DeltaChoice, RebuildTooSlow } from "../../../src/rebuild/delta-choice.ts";
import type { AnnouncedLayer } from "../../../src/conversation/messages.ts";
import { LayerCutter } from "../../../src/rebuild/layer-cutter.ts";
import { InvalidRecipe } from "../../../src/delta/recipe-errors.ts";
import { cut } from "../../../src/delta/cut-tar.ts";
import { encodeRecipe } from "../../../src/delta/encode-recipe.ts";
import { EngineError } from "../../../src/engine/engine-error.ts";
import { newRunId } from "../../../src/run/run-id.ts";
import { sizeLimit, SizeLimitExceeded } from "../../../src/image/layer/size-limit.ts";
import { digestOf, type Digest } from "../../../src/image/digest.ts";
import { MEDIA_TYPE } from "../../../src/image/manifest.ts";
import { messageOf } from "../../../src/output/errors.ts";
import { CODECS } from "../../../src/packing/codecs.ts";
import { PacedPacker } from "../../../src/packing/paced-packer.ts";
import { InvalidPackedStream, unpack } from "../../../src/packing/unpack.ts";
import { NoRecipe } from "../../../src/registry/registry-client.ts";
import type { LayerDelta, StoredBlob } from "../../../src/registry/embedded/registry-content.ts";
import { ResumeCache } from "../../../src/store/resume-cache.ts";
import { lazySpool, type LazySpool } from "../../../src/store/spool.ts";
import { deferred } from "../../../src/streams/deferred.ts";
import { queue } from "../../../src/streams/queue.ts";
import { generatedTar } from "../delta/generated-tars.ts";
import { damaged } from "../delta/odd-tars.ts";
import { makeTar } from "../image/tar/make-tar.ts";
import { pseudoRandom, pseudoRandomBytes } from "../pseudo-random.ts";

const FILE = 60_000;
let folder: string;
let sending: LazySpool[];
let receiving: LazySpool;
let v1: Buffer;
let v2: Buffer;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "dos-rebuilder-"));
  [sending, receiving] = [[], lazySpool({ XDG_CACHE_HOME: folder }, newRunId())];
  const file = (index: number, seed: number) => ({ name: `app/${index}`, content: pseudoRandomBytes(FILE, seed) });
  const files = Array.from({ length: 20 }, (_, index) => file(index, index));
  v1 = await makeTar(files);
  v2 = await makeTar([...files.slice(0, 19), file(19, 1000)]);
});

afterEach(async () => {
  for (const spool of sending) await spool[Symbol.asyncDispose]();
  await receiving[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

function newCutter(): LayerCutter {
  const spool = lazySpool({ XDG_CACHE_HOME: folder }, newRunId());
  sending.push(spool);
  return new LayerCutter(spool, new PacedPacker({ codec: CODECS[0] }));
}

async function cutLayer(plain: Buffer): Promise<StoredBlob & { cut: LayerDelta | undefined }> {
  const cutter = newCutter();
  let cut: LayerDelta | undefined;
  const files = await cutter.makeFiles(digestOf(plain));
  const blob = await cutter.cut(
    files,
    () => Readable.from(chunksOf(plain)),
    (begun) => (cut = begun),
  );
  return { ...blob, cut };
}

function* chunksOf(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += 65_000) yield bytes.subarray(at, at + 65_000);
}

const seedsOf = (...tars: Buffer[]): DeltaBases => ({
  images: tars.map((tar) => ({
    layerLike: async () => undefined,
    async *tars() {
      yield { covers: "/", tar: Readable.from(chunksOf(tar)) };
    },
  })),
  reads: "files",
  [Symbol.asyncDispose]: async () => {},
});

/** In pieces, however long that takes. */
const ALWAYS: LayerRebuilderOptions["choice"] = {
  isInPieces: async () => true,
  watch: async () => () => {},
  leave: () => {},
};

/** What is done to what passes: to either, and to both as they are packed. */
interface Spoil {
  recipe?: (bytes: Buffer) => Buffer | AsyncIterable<Buffer>;
  pieces?: (bytes: Buffer) => Buffer | AsyncIterable<Buffer>;
  packed?: (bytes: Buffer) => Buffer;
}

/** What has come of a layer, over a way that may change what passes. */
type Cut = { cut: LayerDelta | undefined };
async function rebuild(
  plain: Buffer,
  { cut }: Cut,
  deltaBases: DeltaBases,
  spoil: Spoil = {},
  {
    resumeCache,
    choice = ALWAYS,
    as = {},
  }: { resumeCache?: ResumeCache; choice?: typeof ALWAYS; as?: Partial<AnnouncedLayer> } = {},
) {
  const details: string[] = [];
  let pieceBytes = 0;
  const allOf = async (packed: Readable = Readable.from([])): Promise<Buffer> =>
    await buffer(unpack(spoil.packed === undefined ? packed : Readable.from([spoil.packed(await buffer(packed))])));
  const rebuilder = new LayerRebuilder({
    client: {
      recipe: async () => {
        if (cut === undefined) throw new NoRecipe("it is not");
        const bytes = await allOf(cut.recipe());
        const come = spoil.recipe?.(bytes) ?? bytes;
        return Buffer.isBuffer(come) ? Readable.from([come]) : come;
      },
      async pieces(_repository, _digest, missing) {
        const bytes = await allOf(await cut?.pieces(Readable.from([missing])));
        pieceBytes += bytes.length;
        const come = spoil.pieces?.(bytes) ?? bytes;
        return Buffer.isBuffer(come) ? Readable.from([come]) : come;
      },
      sizeOf: async () => plain.length,
    },
    repository: "app",
    choice,
    deltaBases,
    spool: receiving,
    resumeCache,
    limit: sizeLimit(),
    signal: new AbortController().signal,
    onBytes: () => {},
    onDetail: (text) => details.push(text),
  });
  const digest = digestOf(plain);
  const layer = {
    diffId: digest,
    digest,
    mediaType: MEDIA_TYPE.ociLayer,
    size: plain.length,
    cutting: "leaves-blob" as const,
    ...as,
  };
  const come = await rebuilder.rebuild(layer);
  const made = "path" in come ? come : undefined;
  return {
    path: made?.path,
    made,
    whole: "path" in come ? undefined : come,
    pieceBytes,
    details,
    bytesFound: rebuilder.bytesFound,
  };
}

test("a layer is made of another one's files, and of those that have changed", async () => {
  const { path, pieceBytes, bytesFound } = await rebuild(v2, await cutLayer(v2), seedsOf(v1));
  expect(readFileSync(path ?? "").equals(v2)).toBe(true);
  expect(pieceBytes).toBe(FILE);
  expect(bytesFound).toBe(19 * FILE);
});

test("of what is all here, nothing is asked for", async () => {
  const blob = await cutLayer(v2);
  const { path, pieceBytes } = await rebuild(v2, blob, seedsOf(v1.subarray(0, 5000), v2));
  expect(readFileSync(path ?? "").equals(v2)).toBe(true);
  expect(pieceBytes).toBe(0);
});

/** Its images give layers as they are, and note which of their folders are read. */
function seedsOfLayers(...layers: (Buffer | undefined)[]): { deltaBases: DeltaBases; folders: string[] } {
  const folders: string[] = [];
  const images = layers.map((layer) => ({
    layerLike: async () => layer && Readable.from(chunksOf(layer)),
    async *tars(wanted: readonly string[]) {
      folders.push(...wanted);
      yield { covers: "/app", tar: Readable.from(chunksOf(v1)) };
    },
  }));
  return { deltaBases: { images, reads: "blobs", [Symbol.asyncDispose]: async () => {} }, folders };
}

test("an image's layer that is like it is read in place of the folders", async () => {
  const { deltaBases, folders } = seedsOfLayers(v1);
  const { path, pieceBytes, bytesFound } = await rebuild(v2, await cutLayer(v2), deltaBases);
  expect(readFileSync(path ?? "").equals(v2)).toBe(true);
  expect([pieceBytes, bytesFound]).toEqual([FILE, 19 * FILE]);
  expect(folders).toEqual([]);
});

test("where that has little of it, the folders are read as well; where there is none, they alone", async () => {
  for (const layer of [await makeTar([{ name: "app/other", content: pseudoRandomBytes(FILE, 5000) }]), undefined]) {
    const { deltaBases, folders } = seedsOfLayers(layer);
    await receiving[Symbol.asyncDispose]();
    receiving = lazySpool({ XDG_CACHE_HOME: folder }, newRunId());
    const { path, pieceBytes } = await rebuild(v2, await cutLayer(v2), deltaBases);
    expect(readFileSync(path ?? "").equals(v2)).toBe(true);
    expect(pieceBytes).toBe(FILE);
    expect(folders).toEqual(["/app"]);
  }
});

test("one that is stored packed is a plain blob when it has been made", async () => {
  const as = { digest: digestOf("packed"), size: 1234, mediaType: MEDIA_TYPE.ociLayerGzip };
  const { made } = await rebuild(v2, await cutLayer(v2), seedsOf(v1), {}, { as });
  const [digest, size] = [digestOf(v2), v2.length];
  expect(made).toMatchObject({ diffId: digest, size, blob: { mediaType: MEDIA_TYPE.ociLayer, digest, size } });
});

test("one that is not chosen to be made comes as it was announced, and its recipe is not asked for", async () => {
  const choice = { ...ALWAYS, isInPieces: async () => false };
  const as = { digest: digestOf("packed"), size: 1234 };
  const { whole } = await rebuild(v2, { cut: undefined }, seedsOf(v1), {}, { choice, as });
  expect(whole).toMatchObject(as);
});

test.each([
  ["as it is stored", "leaves-blob" as const],
  ["plain, where that passed by once", "consumes-blob" as const],
])("what is found too slowly is given up, and comes whole: %s", async (_, cutting) => {
  const watch = async () => (made: number) => {
    if (made > 5 * FILE) throw new RebuildTooSlow("too slow");
  };
  const as = { digest: digestOf("packed"), size: 1234, mediaType: MEDIA_TYPE.ociLayerGzip, cutting };
  const options = { choice: { ...ALWAYS, watch }, as };
  const { whole, details } = await rebuild(v2, await cutLayer(v2), seedsOfLayers(v1).deltaBases, {}, options);
  const plain = { digest: digestOf(v2), size: v2.length, mediaType: MEDIA_TYPE.ociLayer };
  expect(whole).toMatchObject(cutting === "leaves-blob" ? as : plain);
  expect(details.at(-1)).toContain("takes too long");
  const spool = await receiving.open();
  expect(existsSync(spool.pathFor(`${digestOf(v2).slice(7)}.made`))).toBe(false);
});

test("what the sender has no room for, from the first byte on, comes whole, however late its recipe is read", async () => {
  async function* full(): AsyncGenerator<Buffer> {
    yield v2.subarray(0, 65_000);
    throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
  }
  const cutter = newCutter();
  let cut: LayerDelta | undefined;
  const cutting = cutter.cut(await cutter.makeFiles(digestOf(v2)), full, (begun) => (cut = begun));
  await expect(cutting).rejects.toMatchObject({ code: "ENOSPC" });
  const { whole, details } = await rebuild(v2, { cut }, seedsOf(v1));
  expect(whole).toMatchObject({ digest: digestOf(v2) });
  expect(details.at(-1)).toContain(NOT_ALL);
});

test.each(["leaves-blob" as const, "consumes-blob" as const])(
  "what the sender cannot cut comes as it was announced, and can be had in pieces: %s",
  async (cutting) => {
    const as = { digest: digestOf("packed"), size: 1234, mediaType: MEDIA_TYPE.ociLayerGzip, cutting };
    const { whole, details } = await rebuild(v2, { cut: undefined }, seedsOf(v1), {}, { as });
    expect(whole).toMatchObject(as);
    expect(details.at(-1)).toContain("the sending side cannot cut it");
  },
);

test.each([
  ["as it is stored: at once", "leaves-blob" as const, [true, true]],
  ["plain, where that passed by once: not before it has been cut", "consumes-blob" as const, [false, true]],
])("when a layer can be had whole, %s", async (_, cutting, expected) => {
  const file = (index: number) => ({ name: `${index}`, content: Buffer.alloc(9_000_000, index) });
  const tar = await makeTar(Array.from({ length: 4 }, (__, index) => file(index)));
  const told: boolean[] = [];
  let onTold = (): void => {};
  const first = new Promise<void>((resolve) => (onTold = resolve));
  const watch = async () => (__: number, isToBeHadWhole: boolean) => {
    told.push(isToBeHadWhole);
    onTold();
  };
  async function* recipe(bytes: Buffer): AsyncGenerator<Buffer> {
    yield bytes.subarray(0, -1);
    await first;
    yield bytes.subarray(-1);
  }
  const as = { digest: digestOf("packed"), mediaType: MEDIA_TYPE.ociLayerGzip, cutting };
  const options = { choice: { ...ALWAYS, watch }, as };
  const { made } = await rebuild(tar, await cutLayer(tar), seedsOfLayers(tar).deltaBases, { recipe }, options);
  expect(made?.size).toBe(tar.length);
  expect([told[0], told.at(-1)]).toEqual(expected);
});

test("an engine that does not give its files only makes it cost more", async () => {
  const deltaBases: DeltaBases = {
    images: [
      {
        layerLike: async () => await Promise.reject(new EngineError("no blob can be had")),
        // oxlint-disable-next-line require-yield
        async *tars() {
          throw new EngineError("no container can be made");
        },
      },
    ],
    reads: "blobs",
    [Symbol.asyncDispose]: async () => {},
  };
  const { path, pieceBytes, details } = await rebuild(v2, await cutLayer(v2), deltaBases);
  expect(readFileSync(path ?? "").equals(v2)).toBe(true);
  expect(pieceBytes).toBe(20 * FILE);
  expect(details[0]).toContain("no blob can be had");
  expect(details[1]).toContain("no container can be made");
});

const [WRONG, NOT_ALL] = ["what was made of its pieces is wrong", "the sending side could not give all of its pieces"];
const flipped = (bytes: Buffer): Buffer => Buffer.from(bytes).fill((bytes[100] ?? 0) ^ 1, 100, 101);

test.each([
  ["a recipe of another layer", WRONG, { recipe: flipped }],
  ["a recipe that is cut off, as that of a sender without room", NOT_ALL, { recipe: (bytes) => bytes.subarray(0, -1) }],
  ["no recipe, as of a sender without room for any of it", NOT_ALL, { recipe: () => Buffer.alloc(0) }],
  ["other pieces than were asked for", WRONG, { pieces: flipped }],
  ["a piece too few", WRONG, { pieces: (bytes) => bytes.subarray(0, -1) }],
  ["a piece too many", WRONG, { pieces: (bytes) => Buffer.concat([bytes, bytes]) }],
] satisfies [string, string, Spoil][])(
  "%s: the layer must come whole, and nothing is left of it",
  async (_, why, spoil) => {
    const { path, details, bytesFound } = await rebuild(v2, await cutLayer(v2), seedsOf(v1), spoil);
    expect(path).toBeUndefined();
    expect(bytesFound).toBe(0);
    expect(details.at(-1)).toContain(`comes whole: ${why} (`);
    const spool = await receiving.open();
    expect(existsSync(spool.pathFor(`${digestOf(v2).slice(7)}.made`))).toBe(false);
  },
);

test("whatever is done to what passes, a layer is right, comes whole, or is an error; it is never wrong", async () => {
  const random = pseudoRandom(1);
  const outcomes = { right: 0, whole: 0, failed: 0 };
  for (let seed = 0; seed < 90; seed += 1) {
    const tar = generatedTar(seed, { parts: 6 });
    const deltaBases = seedsOf(generatedTar(seed, { parts: 6, version: 1 }));
    const spoil = (bytes: Buffer): Buffer => (bytes.length === 0 ? bytes : damaged(bytes, random));
    const what = (["recipe", "pieces", "packed"] as const)[seed % 3] as keyof Spoil;
    try {
      const { path } = await rebuild(tar, await cutLayer(tar), deltaBases, { [what]: spoil });
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

test("a layer that was cut off half made is continued", async () => {
  const env = { XDG_CACHE_HOME: folder };
  const blob = await cutLayer(v2);
  {
    await using resumeCache = new ResumeCache({ env, run: newRunId() });
    const cutOff = async function* (bytes: Buffer): AsyncGenerator<Buffer> {
      yield bytes.subarray(0, 10.5 * FILE);
      throw new Error("the link is dead");
    };
    await expect(rebuild(v2, blob, seedsOf(), { pieces: cutOff }, { resumeCache })).rejects.toThrow("the link is dead");
  }
  await using resumeCache = new ResumeCache({ env, run: newRunId() });
  const { path, pieceBytes } = await rebuild(v2, blob, seedsOf(), {}, { resumeCache });
  expect(readFileSync(path ?? "").equals(v2)).toBe(true);
  expect(pieceBytes).toBe(10 * FILE);
});

describe("recipes of a sender that means harm", () => {
  const MB = 1_000_000;
  const limit = 5 * MB;
  const env = (): NodeJS.ProcessEnv => ({ XDG_CACHE_HOME: folder });
  const onDisk = (): number =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);

  /** Makes all of them, with a rebuilder that has those recipes, and returns why the last was not made. */
  async function makeAll(
    recipes: Map<Digest, Buffer | AsyncIterable<Buffer>>,
    resumeCache: ResumeCache,
    onDetail: (text: string) => void = () => {},
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
      choice: ALWAYS,
      deltaBases: seedsOf(),
      spool: receiving,
      resumeCache,
      limit: sizeLimit(limit),
      signal: new AbortController().signal,
      onBytes: () => {},
      onDetail,
    });
    const inPieces = queue<AnnouncedLayer>();
    const layers = [...recipes.keys()].map((diffId) => ({
      diffId,
      digest: diffId,
      mediaType: MEDIA_TYPE.ociLayer,
      size: 3 * MB,
      cutting: "leaves-blob" as const,
    }));
    for (const layer of layers) inPieces.push(layer);
    inPieces.end();
    await rebuilder.makeAll(inPieces);
    return await rebuilder.rebuild(layers.at(-1) as AnnouncedLayer).catch((error: unknown) => error);
  }

  async function recipeOf(plain: Buffer): Promise<Buffer> {
    const chunks: Buffer[] = [];
    for await (const chunk of encodeRecipe(cut(Readable.from(chunksOf(plain))))) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  test("count against --max-size while they are made", async () => {
    const tars = Array.from({ length: 4 }, (_, index) => Buffer.alloc(3 * MB - 512 * index - ((3 * MB) % 512)));
    const recipes = new Map(await Promise.all(tars.map(async (tar) => [digestOf(tar), await recipeOf(tar)] as const)));
    await using resumeCache = new ResumeCache({ env: env(), run: newRunId() });
    expect(await makeAll(recipes, resumeCache)).toBeInstanceOf(SizeLimitExceeded);
    expect(onDisk()).toBeLessThan(limit);
  });

  test("what has failed its digest goes at once, and no other is made", async () => {
    const recipe = await recipeOf(Buffer.alloc(3 * MB - ((3 * MB) % 512)));
    const recipes = new Map(["a", "b", "c"].map((name) => [digestOf(name), recipe] as const));
    await using resumeCache = new ResumeCache({ env: env(), run: newRunId() });
    expect(await makeAll(recipes, resumeCache)).toMatchObject({ digest: digestOf("c") });
    expect(onDisk()).toBe(0);
  });

  test("nor is another made when a recipe was cut off, but it is not called wrong", async () => {
    const recipe = await recipeOf(Buffer.alloc(3 * MB - ((3 * MB) % 512)));
    const recipes = new Map(["a", "b"].map((name) => [digestOf(name), recipe.subarray(0, -1)] as const));
    const details: string[] = [];
    await using resumeCache = new ResumeCache({ env: env(), run: newRunId() });
    await makeAll(recipes, resumeCache, (text) => details.push(text));
    expect(details).toEqual([expect.stringMatching(/could not give all of its pieces \(.*another layer/)]);
  });

  test("what only the recipe has told is not kept when it breaks off", async () => {
    const recipe = await recipeOf(Buffer.alloc(3 * MB - ((3 * MB) % 512)));
    async function* broken(): AsyncGenerator<Buffer> {
      yield recipe;
      throw new Error("the link is dead");
    }
    const onKept = vi.fn<(bytes: number) => void>();
    {
      await using resumeCache = new ResumeCache({ env: env(), run: newRunId(), onKept });
      expect(await makeAll(new Map([[digestOf("a"), broken()]]), resumeCache)).toMatchObject({
        message: "the link is dead",
      });
    }
    expect(onKept).not.toHaveBeenCalled();
    expect(onDisk()).toBe(0);
  });
});

test("what is half made and longer than the layer is as long as that in the end", async () => {
  const env = { XDG_CACHE_HOME: folder };
  {
    await using resumeCache = new ResumeCache({ env, run: newRunId() });
    const half = await resumeCache.takePartialRebuild(digestOf(v2));
    writeFileSync(half?.path ?? "", Buffer.concat([v1, v1]));
  }
  await using resumeCache = new ResumeCache({ env, run: newRunId() });
  const { path, pieceBytes } = await rebuild(v2, await cutLayer(v2), seedsOf(), {}, { resumeCache });
  expect(readFileSync(path ?? "").equals(v2)).toBe(true);
  expect(pieceBytes).toBe(FILE);
});

test("a layer is not looked for in one that is much longer", async () => {
  let read = 0;
  async function* long(): AsyncGenerator<Buffer> {
    for (; read < 200_000_000; read += 1_000_000) yield Buffer.alloc(1_000_000);
  }
  const { deltaBases: folders } = seedsOfLayers(undefined);
  const images = folders.images.map((image) => ({ ...image, layerLike: async () => long() }));
  const deltaBases = { images, reads: "blobs" as const, [Symbol.asyncDispose]: async () => {} };
  const { path, pieceBytes } = await rebuild(v2, await cutLayer(v2), deltaBases);
  expect(readFileSync(path ?? "").equals(v2)).toBe(true);
  expect(pieceBytes).toBe(FILE);
  expect(read).toBeLessThan(30_000_000);
});

test("all of a layer can be had as well, also in part", async () => {
  const blob = await cutLayer(v2);
  expect(blob.size).toBe(v2.length);
  expect((await buffer(await blob.open())).equals(v2)).toBe(true);
  expect((await buffer(await blob.open({ first: 10, last: 700 }))).equals(v2.subarray(10, 701))).toBe(true);
  expect((await buffer(unpack(blob.packed?.(7).stream ?? Readable.from([])))).equals(v2.subarray(7))).toBe(true);
});

test.each([
  ["too long", Buffer.alloc(1000, 1)],
  ["of pieces that are not there", Buffer.from([50, 1])],
  ["cut off", Buffer.from([128])],
])("a list of missing pieces that is %s is refused", async (_, list) => {
  const { cut } = await cutLayer(v2);
  await expect(cut?.pieces(Readable.from([list]))).rejects.toBeInstanceOf(InvalidRecipe);
});

test.each(["left", "not wanted any more"])(
  "a probe of the link that is under way ends when the rebuilder is %s",
  async (how) => {
    const [probing, ended] = [deferred<void>(), deferred<void>()];
    const probe = async (_: number, signal: AbortSignal): Promise<never> => {
      signal.addEventListener("abort", () => ended.resolve());
      probing.resolve();
      return await new Promise((_resolve, reject) =>
        signal.addEventListener("abort", () => reject(signal.reason as Error)),
      );
    };
    const onDetail = (): void => {};
    const rate = new LinkRate({ bytesReceived: () => 0, probe });
    const rebuilding = { reads: "blobs" as const, takesIn: undefined };
    const choice = new DeltaChoice({ always: false, rebuilding, rate, onDetail });
    const none = async (): Promise<never> => await Promise.reject(new Error("it is not asked for"));
    const client = { recipe: none, pieces: none, sizeOf: none };
    const over = new AbortController();
    const rebuilder = new LayerRebuilder({
      client,
      repository: "app",
      choice,
      deltaBases: seedsOf(),
      spool: receiving,
      resumeCache: undefined,
      limit: sizeLimit(),
      signal: over.signal,
      onBytes: () => {},
      onDetail,
    });
    const digest = digestOf(v2);
    const layer = {
      diffId: digest,
      digest,
      mediaType: MEDIA_TYPE.ociLayer,
      size: v2.length,
      cutting: "leaves-blob" as const,
    };
    vi.useFakeTimers(); // no probe takes too long
    try {
      const rebuilt = rebuilder.rebuild(layer).catch(messageOf);
      await probing.promise;
      if (how === "left") await rebuilder[Symbol.asyncDispose]();
      else over.abort(new Error("not needed any more"));
      await ended.promise;
      expect(await rebuilt).toMatch(/not needed any more$/);
    } finally {
      vi.useRealTimers();
    }
  },
);
