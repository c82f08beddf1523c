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
import { cutTar } from "../../../src/delta/cut-tar.ts";
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
import { NoRecipe } from "../../../src/registry/registry-client-errors.ts";
import type { LayerDelta, StoredBlob } from "../../../src/registry/embedded/registry-content.ts";
import { ResumeCache } from "../../../src/store/resume-cache.ts";
import { lazySpool, type LazySpool } from "../../../src/run/spool.ts";
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
  const files = await cutter.createFiles(digestOf(plain));
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

const basesOf = (...tars: Buffer[]): DeltaBases => ({
  images: tars.map((tar) => ({
    baseLayer: async () => undefined,
    async *tars() {
      yield { covers: "/", tar: Readable.from(chunksOf(tar)) };
    },
  })),
  reads: "files",
  [Symbol.asyncDispose]: async () => {},
});

/** Delta, however long it takes. */
const ALWAYS: LayerRebuilderOptions["choice"] = {
  isByDelta: async () => true,
  watch: async () => () => {},
  stop: () => {},
};

/** Changes to the recipe, the pieces, or both as they are packed. */
interface Harm {
  recipe?: (bytes: Buffer) => Buffer | AsyncIterable<Buffer>;
  pieces?: (bytes: Buffer) => Buffer | AsyncIterable<Buffer>;
  packed?: (bytes: Buffer) => Buffer;
}

/** Rebuilds a layer that another side has cut. */
type Cut = { cut: LayerDelta | undefined };
async function rebuild(
  plain: Buffer,
  { cut }: Cut,
  deltaBases: DeltaBases,
  harm: Harm = {},
  {
    resumeCache,
    choice = ALWAYS,
    as = {},
  }: { resumeCache?: ResumeCache; choice?: typeof ALWAYS; as?: Partial<AnnouncedLayer> } = {},
) {
  const details: string[] = [];
  let pieceBytes = 0;
  const allOf = async (packed: Readable = Readable.from([])): Promise<Buffer> =>
    await buffer(unpack(harm.packed === undefined ? packed : Readable.from([harm.packed(await buffer(packed))])));
  const rebuilder = new LayerRebuilder({
    client: {
      recipe: async () => {
        if (cut === undefined) throw new NoRecipe("it is not");
        const bytes = await allOf(cut.recipe());
        const received = harm.recipe?.(bytes) ?? bytes;
        return Buffer.isBuffer(received) ? Readable.from([received]) : received;
      },
      async pieces(_repository, _digest, missing) {
        const bytes = await allOf(await cut?.pieces(Readable.from([missing])));
        pieceBytes += bytes.length;
        const received = harm.pieces?.(bytes) ?? bytes;
        return Buffer.isBuffer(received) ? Readable.from([received]) : received;
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
  const result = await rebuilder.rebuild(layer);
  const rebuilt = "path" in result ? result : undefined;
  return {
    path: rebuilt?.path,
    rebuilt,
    whole: "path" in result ? undefined : result,
    pieceBytes,
    details,
    bytesFound: rebuilder.bytesFound,
  };
}

test("a layer is rebuilt from another version, and the files that have changed", async () => {
  const { path, pieceBytes, bytesFound } = await rebuild(v2, await cutLayer(v2), basesOf(v1));
  expect(readFileSync(path ?? "").equals(v2)).toBe(true);
  expect(pieceBytes).toBe(FILE);
  expect(bytesFound).toBe(19 * FILE);
});

test("when all pieces are present, none is requested", async () => {
  const blob = await cutLayer(v2);
  const { path, pieceBytes } = await rebuild(v2, blob, basesOf(v1.subarray(0, 5000), v2));
  expect(readFileSync(path ?? "").equals(v2)).toBe(true);
  expect(pieceBytes).toBe(0);
});

/** Images that give base layers, and record which of their folders are read. */
function basesOfLayers(...layers: (Buffer | undefined)[]): { deltaBases: DeltaBases; folders: string[] } {
  const folders: string[] = [];
  const images = layers.map((layer) => ({
    baseLayer: async () => layer && Readable.from(chunksOf(layer)),
    async *tars(wanted: readonly string[]) {
      folders.push(...wanted);
      yield { covers: "/app", tar: Readable.from(chunksOf(v1)) };
    },
  }));
  return { deltaBases: { images, reads: "blobs", [Symbol.asyncDispose]: async () => {} }, folders };
}

test("a base layer is read instead of the folders", async () => {
  const { deltaBases, folders } = basesOfLayers(v1);
  const { path, pieceBytes, bytesFound } = await rebuild(v2, await cutLayer(v2), deltaBases);
  expect(readFileSync(path ?? "").equals(v2)).toBe(true);
  expect([pieceBytes, bytesFound]).toEqual([FILE, 19 * FILE]);
  expect(folders).toEqual([]);
});

test("the folders are read when the base layer has few pieces, or there is none", async () => {
  for (const layer of [await makeTar([{ name: "app/other", content: pseudoRandomBytes(FILE, 5000) }]), undefined]) {
    const { deltaBases, folders } = basesOfLayers(layer);
    await receiving[Symbol.asyncDispose]();
    receiving = lazySpool({ XDG_CACHE_HOME: folder }, newRunId());
    const { path, pieceBytes } = await rebuild(v2, await cutLayer(v2), deltaBases);
    expect(readFileSync(path ?? "").equals(v2)).toBe(true);
    expect(pieceBytes).toBe(FILE);
    expect(folders).toEqual(["/app"]);
  }
});

test("a layer that is stored packed is a plain blob after its rebuild", async () => {
  const as = { digest: digestOf("packed"), size: 1234, mediaType: MEDIA_TYPE.ociLayerGzip };
  const { rebuilt } = await rebuild(v2, await cutLayer(v2), basesOf(v1), {}, { as });
  const [digest, size] = [digestOf(v2), v2.length];
  expect(rebuilt).toMatchObject({ diffId: digest, size, blob: { mediaType: MEDIA_TYPE.ociLayer, digest, size } });
});

test("a layer for which delta is not chosen is fetched as announced, and its recipe is not requested", async () => {
  const choice = { ...ALWAYS, isByDelta: async () => false };
  const as = { digest: digestOf("packed"), size: 1234 };
  const { whole } = await rebuild(v2, { cut: undefined }, basesOf(v1), {}, { choice, as });
  expect(whole).toMatchObject(as);
});

test.each([
  ["as it is stored", "leaves-blob" as const],
  ["as a plain tar, where the cut consumes the blob", "consumes-blob" as const],
])("a slow rebuild is given up, and the layer is fetched whole: %s", async (_, cutting) => {
  const watch = async () => (read: number) => {
    if (read > 5 * FILE) throw new RebuildTooSlow("too slow");
  };
  const as = { digest: digestOf("packed"), size: 1234, mediaType: MEDIA_TYPE.ociLayerGzip, cutting };
  const options = { choice: { ...ALWAYS, watch }, as };
  const { whole, details } = await rebuild(v2, await cutLayer(v2), basesOfLayers(v1).deltaBases, {}, options);
  const plain = { digest: digestOf(v2), size: v2.length, mediaType: MEDIA_TYPE.ociLayer };
  expect(whole).toMatchObject(cutting === "leaves-blob" ? as : plain);
  expect(details.at(-1)).toContain("takes too long");
  const spool = await receiving.open();
  expect(existsSync(spool.pathFor(`${digestOf(v2).slice(7)}.rebuilt`))).toBe(false);
});

test("a layer is fetched whole when the sender's disk is full at its first byte, however late the recipe is read", async () => {
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

test.each(["leaves-blob" as const, "consumes-blob" as const])(
  "a layer that the sender cannot cut is fetched as announced: %s",
  async (cutting) => {
    const as = { digest: digestOf("packed"), size: 1234, mediaType: MEDIA_TYPE.ociLayerGzip, cutting };
    const { whole, details } = await rebuild(v2, { cut: undefined }, basesOf(v1), {}, { as });
    expect(whole).toMatchObject(as);
    expect(details.at(-1)).toContain("the sending side cannot cut it");
  },
);

test.each([
  ["as it is stored: at once", "leaves-blob" as const, [true, true]],
  ["as a plain tar, where the cut consumes the blob: after the cut", "consumes-blob" as const, [false, true]],
])("when a layer is available whole, %s", async (_, cutting, expected) => {
  const file = (index: number) => ({ name: `${index}`, content: Buffer.alloc(9_000_000, index) });
  const tar = await makeTar(Array.from({ length: 4 }, (__, index) => file(index)));
  const available: boolean[] = [];
  let onCall = (): void => {};
  const first = new Promise<void>((resolve) => (onCall = resolve));
  const watch = async () => (__: number, isAvailableWhole: boolean) => {
    available.push(isAvailableWhole);
    onCall();
  };
  async function* recipe(bytes: Buffer): AsyncGenerator<Buffer> {
    yield bytes.subarray(0, -1);
    await first;
    yield bytes.subarray(-1);
  }
  const as = { digest: digestOf("packed"), mediaType: MEDIA_TYPE.ociLayerGzip, cutting };
  const options = { choice: { ...ALWAYS, watch }, as };
  const { rebuilt } = await rebuild(tar, await cutLayer(tar), basesOfLayers(tar).deltaBases, { recipe }, options);
  expect(rebuilt?.size).toBe(tar.length);
  expect([available[0], available.at(-1)]).toEqual(expected);
});

test("an engine whose files cannot be read only makes the transfer larger", async () => {
  const deltaBases: DeltaBases = {
    images: [
      {
        baseLayer: async () => await Promise.reject(new EngineError("no blob can be had")),
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

const [INVALID, TRUNCATED] = [
  "the sending side's recipe or pieces are invalid",
  "the sending side could not cut all of it",
];
const flipped = (bytes: Buffer): Buffer => Buffer.from(bytes).fill((bytes[100] ?? 0) ^ 1, 100, 101);

test.each([
  ["a recipe of another layer", INVALID, { recipe: flipped }],
  ["a truncated recipe, as from a sender whose disk is full", TRUNCATED, { recipe: (bytes) => bytes.subarray(0, -1) }],
  ["an empty recipe, as from a sender whose disk was full before", TRUNCATED, { recipe: () => Buffer.alloc(0) }],
  ["other pieces than were requested", INVALID, { pieces: flipped }],
  ["a piece too few", INVALID, { pieces: (bytes) => bytes.subarray(0, -1) }],
  ["a piece too many", INVALID, { pieces: (bytes) => Buffer.concat([bytes, bytes]) }],
] satisfies [string, string, Harm][])("%s: the layer is sent whole, and its file is removed", async (_, why, harm) => {
  const { path, details, bytesFound } = await rebuild(v2, await cutLayer(v2), basesOf(v1), harm);
  expect(path).toBeUndefined();
  expect(bytesFound).toBe(0);
  expect(details.at(-1)).toContain(`is sent whole: ${why} (`);
  const spool = await receiving.open();
  expect(existsSync(spool.pathFor(`${digestOf(v2).slice(7)}.rebuilt`))).toBe(false);
});

test("with damaged messages, a layer is right, is sent whole, or fails; it is never wrong", async () => {
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

test("a partial rebuild is continued by the next run", async () => {
  const env = { XDG_CACHE_HOME: folder };
  const blob = await cutLayer(v2);
  {
    await using resumeCache = new ResumeCache({ env, run: newRunId() });
    const cutOff = async function* (bytes: Buffer): AsyncGenerator<Buffer> {
      yield bytes.subarray(0, 10.5 * FILE);
      throw new Error("the link is dead");
    };
    await expect(rebuild(v2, blob, basesOf(), { pieces: cutOff }, { resumeCache })).rejects.toThrow("the link is dead");
  }
  await using resumeCache = new ResumeCache({ env, run: newRunId() });
  const { path, pieceBytes } = await rebuild(v2, blob, basesOf(), {}, { resumeCache });
  expect(readFileSync(path ?? "").equals(v2)).toBe(true);
  expect(pieceBytes).toBe(10 * FILE);
});

describe("recipes of a malicious sender", () => {
  const MB = 1_000_000;
  const limit = 5 * MB;
  const env = (): NodeJS.ProcessEnv => ({ XDG_CACHE_HOME: folder });
  const onDisk = (): number =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);

  /** Rebuilds layers from these recipes, and returns the result of the last one, or its error. */
  async function rebuildAll(
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
    await using resumeCache = new ResumeCache({ env: env(), run: newRunId() });
    expect(await rebuildAll(recipes, resumeCache)).toBeInstanceOf(SizeLimitExceeded);
    expect(onDisk()).toBeLessThan(limit);
  });

  test("a layer that fails verification is removed at once, and no other is rebuilt", async () => {
    const recipe = await recipeOf(Buffer.alloc(3 * MB - ((3 * MB) % 512)));
    const recipes = new Map(["a", "b", "c"].map((name) => [digestOf(name), recipe] as const));
    await using resumeCache = new ResumeCache({ env: env(), run: newRunId() });
    expect(await rebuildAll(recipes, resumeCache)).toMatchObject({ digest: digestOf("c") });
    expect(onDisk()).toBe(0);
  });

  test("after a truncated recipe no other layer is rebuilt, and none is reported as invalid", async () => {
    const recipe = await recipeOf(Buffer.alloc(3 * MB - ((3 * MB) % 512)));
    const recipes = new Map(["a", "b"].map((name) => [digestOf(name), recipe.subarray(0, -1)] as const));
    const details: string[] = [];
    await using resumeCache = new ResumeCache({ env: env(), run: newRunId() });
    await rebuildAll(recipes, resumeCache, (text) => details.push(text));
    expect(details).toEqual([expect.stringMatching(/could not cut all of it \(.*another layer/)]);
  });

  test("a partial rebuild without received pieces is not kept", async () => {
    const recipe = await recipeOf(Buffer.alloc(3 * MB - ((3 * MB) % 512)));
    async function* broken(): AsyncGenerator<Buffer> {
      yield recipe;
      throw new Error("the link is dead");
    }
    const onKept = vi.fn<(bytes: number) => void>();
    {
      await using resumeCache = new ResumeCache({ env: env(), run: newRunId(), onKept });
      expect(await rebuildAll(new Map([[digestOf("a"), broken()]]), resumeCache)).toMatchObject({
        message: "the link is dead",
      });
    }
    expect(onKept).not.toHaveBeenCalled();
    expect(onDisk()).toBe(0);
  });
});

test("a partial rebuild that is longer than the layer is truncated", async () => {
  const env = { XDG_CACHE_HOME: folder };
  {
    await using resumeCache = new ResumeCache({ env, run: newRunId() });
    const half = await resumeCache.takePartialRebuild(digestOf(v2));
    writeFileSync(half?.path ?? "", Buffer.concat([v1, v1]));
  }
  await using resumeCache = new ResumeCache({ env, run: newRunId() });
  const { path, pieceBytes } = await rebuild(v2, await cutLayer(v2), basesOf(), {}, { resumeCache });
  expect(readFileSync(path ?? "").equals(v2)).toBe(true);
  expect(pieceBytes).toBe(FILE);
});

test("a base layer that is much longer is not read to its end", async () => {
  let read = 0;
  async function* long(): AsyncGenerator<Buffer> {
    for (; read < 200_000_000; read += 1_000_000) yield Buffer.alloc(1_000_000);
  }
  const { deltaBases: folders } = basesOfLayers(undefined);
  const images = folders.images.map((image) => ({ ...image, baseLayer: async () => long() }));
  const deltaBases = { images, reads: "blobs" as const, [Symbol.asyncDispose]: async () => {} };
  const { path, pieceBytes } = await rebuild(v2, await cutLayer(v2), deltaBases);
  expect(readFileSync(path ?? "").equals(v2)).toBe(true);
  expect(pieceBytes).toBe(FILE);
  expect(read).toBeLessThan(30_000_000);
});

test("a layer that was cut can also be read whole, and by range", async () => {
  const blob = await cutLayer(v2);
  expect(blob.size).toBe(v2.length);
  expect((await buffer(await blob.open())).equals(v2)).toBe(true);
  expect((await buffer(await blob.open({ first: 10, last: 700 }))).equals(v2.subarray(10, 701))).toBe(true);
  expect((await buffer(unpack(blob.packed?.(7).stream ?? Readable.from([])))).equals(v2.subarray(7))).toBe(true);
});

test.each([
  ["too long", Buffer.alloc(1000, 1)],
  ["beyond the last piece", Buffer.from([50, 1])],
  ["truncated", Buffer.from([128])],
])("a list of missing pieces that is %s is refused", async (_, list) => {
  const { cut } = await cutLayer(v2);
  await expect(cut?.pieces(Readable.from([list]))).rejects.toBeInstanceOf(InvalidRecipe);
});

test.each(["disposed of", "aborted"])("a pending probe of the link ends when the rebuilder is %s", async (how) => {
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
  const speed = { reads: "blobs" as const, takesIn: undefined };
  const choice = new DeltaChoice({ always: false, speed, rate, onDetail });
  const none = async (): Promise<never> => await Promise.reject(new Error("unexpected"));
  const client = { recipe: none, pieces: none, sizeOf: none };
  const over = new AbortController();
  const rebuilder = new LayerRebuilder({
    client,
    repository: "app",
    choice,
    deltaBases: basesOf(),
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
  vi.useFakeTimers(); // no probe times out
  try {
    const rebuilt = rebuilder.rebuild(layer).catch(messageOf);
    await probing.promise;
    if (how === "disposed of") await rebuilder[Symbol.asyncDispose]();
    else over.abort(new Error("not needed any more"));
    await ended.promise;
    expect(await rebuilt).toMatch(/not needed any more$/);
  } finally {
    vi.useRealTimers();
  }
});
