import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { expect, test, vi } from "vitest";
import { LayerRebuilder } from "../../../src/rebuild/layer-rebuilder.ts";
import { LinkRate } from "../../../src/rebuild/link-rate.ts";
import type { DeltaBases } from "../../../src/rebuild/delta-bases.ts";
import { DeltaChoice, RebuildTooSlow } from "../../../src/rebuild/delta-choice.ts";
import { EngineError } from "../../../src/engine/engine-error.ts";
import { newRunId } from "../../../src/run/run-id.ts";
import { sizeLimit } from "../../../src/image/layer/size-limit.ts";
import { digestOf } from "../../../src/image/digest.ts";
import { MEDIA_TYPE } from "../../../src/image/manifest.ts";
import { messageOf } from "../../../src/output/errors.ts";
import { ResumeCache } from "../../../src/store/resume-cache.ts";
import { deferred } from "../../../src/streams/deferred.ts";
import { makeTar } from "../image/tar/make-tar.ts";
import { pseudoRandomBytes } from "../pseudo-random.ts";
import {
  ALWAYS,
  FILE,
  basesOf,
  basesOfLayers,
  cutLayer,
  folder,
  rebuild,
  receiving,
  renewReceiver,
  v1,
  v2,
  useTwoSides,
} from "./two-sides.ts";

useTwoSides();

test("rebuilds a layer from another version and the changed files", async () => {
  const { path, pieceBytes, bytesFound } = await rebuild(v2, await cutLayer(v2), basesOf(v1));
  expect(readFileSync(path ?? "").equals(v2)).toBe(true);
  expect(pieceBytes).toBe(FILE);
  expect(bytesFound).toBe(19 * FILE);
});

test("requests no pieces if all are present", async () => {
  const blob = await cutLayer(v2);
  const { path, pieceBytes } = await rebuild(v2, blob, basesOf(v1.subarray(0, 5000), v2));
  expect(readFileSync(path ?? "").equals(v2)).toBe(true);
  expect(pieceBytes).toBe(0);
});

test("reads a base layer instead of the folders", async () => {
  const { deltaBases, folders } = basesOfLayers(v1);
  const { path, pieceBytes, bytesFound } = await rebuild(v2, await cutLayer(v2), deltaBases);
  expect(readFileSync(path ?? "").equals(v2)).toBe(true);
  expect([pieceBytes, bytesFound]).toEqual([FILE, 19 * FILE]);
  expect(folders).toEqual([]);
});

test("reads the folders if the base layer has few pieces, or if there is none", async () => {
  for (const layer of [await makeTar([{ name: "app/other", content: pseudoRandomBytes(FILE, 5000) }]), undefined]) {
    const { deltaBases, folders } = basesOfLayers(layer);
    await renewReceiver();
    const { path, pieceBytes } = await rebuild(v2, await cutLayer(v2), deltaBases);
    expect(readFileSync(path ?? "").equals(v2)).toBe(true);
    expect(pieceBytes).toBe(FILE);
    expect(folders).toEqual(["/app"]);
  }
});

test("rebuilds a layer that is stored packed as a plain blob", async () => {
  const as = { digest: digestOf("packed"), size: 1234, mediaType: MEDIA_TYPE.ociLayerGzip };
  const { rebuilt } = await rebuild(v2, await cutLayer(v2), basesOf(v1), {}, { as });
  const [digest, size] = [digestOf(v2), v2.length];
  expect(rebuilt).toMatchObject({ diffId: digest, size, blob: { mediaType: MEDIA_TYPE.ociLayer, digest, size } });
});

test("fetches a layer as announced, without requesting its recipe, if delta is not chosen", async () => {
  const choice = { ...ALWAYS, isByDelta: async () => false };
  const as = { digest: digestOf("packed"), size: 1234 };
  const { whole } = await rebuild(v2, { cut: undefined }, basesOf(v1), {}, { choice, as });
  expect(whole).toMatchObject(as);
});

test.each([
  ["as it is stored", "leaves-blob" as const],
  ["as a plain tar, if the cut consumes the blob", "consumes-blob" as const],
])("gives up a slow rebuild, and fetches the layer whole: %s", async (_, cutting) => {
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

test.each(["leaves-blob" as const, "consumes-blob" as const])(
  "fetches a layer that the sender cannot cut as announced: %s",
  async (cutting) => {
    const as = { digest: digestOf("packed"), size: 1234, mediaType: MEDIA_TYPE.ociLayerGzip, cutting };
    const { whole, details } = await rebuild(v2, { cut: undefined }, basesOf(v1), {}, { as });
    expect(whole).toMatchObject(as);
    expect(details.at(-1)).toContain("the sending side cannot cut it");
  },
);

test.each([
  ["immediately, as it is stored", "leaves-blob" as const, [true, true]],
  ["after the cut, as a plain tar, if the cut consumes the blob", "consumes-blob" as const, [false, true]],
])("treats a layer as available whole %s", async (_, cutting, expected) => {
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

test("receives more bytes if the files of the engine cannot be read", async () => {
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

test("continues the partial rebuild of an earlier run", async () => {
  const env = { XDG_CACHE_HOME: folder };
  const blob = await cutLayer(v2);
  {
    await using resumeCache = new ResumeCache({ env, runId: newRunId() });
    const cutOff = async function* (bytes: Buffer): AsyncGenerator<Buffer> {
      yield bytes.subarray(0, 10.5 * FILE);
      throw new Error("the link is dead");
    };
    await expect(rebuild(v2, blob, basesOf(), { pieces: cutOff }, { resumeCache })).rejects.toThrow("the link is dead");
  }
  await using resumeCache = new ResumeCache({ env, runId: newRunId() });
  const { path, pieceBytes } = await rebuild(v2, blob, basesOf(), {}, { resumeCache });
  expect(readFileSync(path ?? "").equals(v2)).toBe(true);
  expect(pieceBytes).toBe(10 * FILE);
});

test("truncates a partial rebuild that is longer than the layer", async () => {
  const env = { XDG_CACHE_HOME: folder };
  {
    await using resumeCache = new ResumeCache({ env, runId: newRunId() });
    const half = await resumeCache.takePartialRebuild(digestOf(v2));
    writeFileSync(half?.path ?? "", Buffer.concat([v1, v1]));
  }
  await using resumeCache = new ResumeCache({ env, runId: newRunId() });
  const { path, pieceBytes } = await rebuild(v2, await cutLayer(v2), basesOf(), {}, { resumeCache });
  expect(readFileSync(path ?? "").equals(v2)).toBe(true);
  expect(pieceBytes).toBe(FILE);
});

test("stops reading a base layer that is much longer", async () => {
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

test.each(["disposed of", "aborted"])("ends a pending probe of the link when the rebuilder is %s", async (how) => {
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
    progress: { find: () => {}, receivePieces: () => {} },
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
    else over.abort(new Error("no longer needed"));
    await ended.promise;
    expect(await rebuilt).toMatch(/no longer needed$/);
  } finally {
    vi.useRealTimers();
  }
});
