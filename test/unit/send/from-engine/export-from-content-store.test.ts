import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import type { AnnouncedLayer } from "../../../../src/conversation/messages.ts";
import type { EngineOfferOptions } from "../../../../src/send/from-engine/engine-offer-options.ts";
import { OutgoingBlobs, type OutgoingBlobsOptions } from "../../../../src/send/outgoing-blobs.ts";
import { exportFromContentStore } from "../../../../src/send/from-engine/export-from-content-store.ts";
import { BlobGone } from "../../../../src/engine/content-store.ts";
import { openEngine } from "../../../../src/engine/open/open-engine.ts";
import { EngineError } from "../../../../src/engine/engine-error.ts";
import { newRunId } from "../../../../src/run/run-id.ts";
import { digestOf } from "../../../../src/image/digest.ts";
import { MEDIA_TYPE, parseImageManifest, encodeManifest } from "../../../../src/image/manifest.ts";
import { Failure } from "../../../../src/output/errors.ts";
import { commonCodec } from "../../../../src/packing/codecs.ts";
import { BLOCK } from "../../../../src/packing/pack.ts";
import type { Packing } from "../../../../src/packing/paced-packer.ts";
import { unpack } from "../../../../src/packing/unpack.ts";
import type { StoredBlob } from "../../../../src/registry/embedded/pull/registry-content.ts";
import { lazySpool } from "../../../../src/run/spool.ts";
import { contentEngine, type ContentEngine, type ContentEngineOptions } from "../../engine/fake-content-engine.ts";
import { latch, rejection, temporaryFolder } from "../../engine/fake-engine.ts";
import { makeTar } from "../../image/tar/make-tar.ts";
import { pseudoRandomBytes } from "../../pseudo-random.ts";
import { InvalidImage } from "../../../../src/image/invalid-image.ts";

const tar = await makeTar([{ name: "random", content: pseudoRandomBytes(600_000, 1) }]);
const [plain, small, unwanted] = [Buffer.alloc(3 * BLOCK, "plain"), Buffer.from("small"), Buffer.from("unwanted")];
const layers = [
  { diffId: digestOf(plain), stored: plain, mediaType: MEDIA_TYPE.ociLayer },
  { diffId: digestOf(unwanted), stored: gzipSync(unwanted), mediaType: MEDIA_TYPE.ociLayerGzip },
  { diffId: digestOf(tar), stored: gzipSync(tar), mediaType: MEDIA_TYPE.dockerLayerGzip },
  { diffId: digestOf(small), stored: gzipSync(small), mediaType: MEDIA_TYPE.ociLayerGzip },
].map(({ diffId, stored, mediaType }) => ({
  diffId,
  stored,
  blob: { mediaType, digest: digestOf(stored), size: stored.length },
}));
const [bottom, , large, top] = layers as [Layer, Layer, Layer, Layer];
type Layer = (typeof layers)[number];

const diffIds = layers.map(({ diffId }) => diffId);
const config = Buffer.from(JSON.stringify({ rootfs: { diff_ids: diffIds } }));
const manifest = encodeManifest({
  mediaType: MEDIA_TYPE.dockerManifest,
  config: { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf(config), size: config.length },
  layers: layers.map(({ blob }) => blob),
});

interface Export extends AsyncDisposable {
  outgoing: OutgoingBlobs;
  fake: ContentEngine;
  announced: AnnouncedLayer[];
  /** The result of the export. */
  result: Promise<boolean>;
  stop: AbortController;
  /** Returns an outgoing blob. */
  blob(layer: Layer): Promise<StoredBlob>;
  /** Returns whether the export is still running. */
  goesOn(): Promise<boolean>;
}

interface ExportOptions extends ContentEngineOptions, Pick<OutgoingBlobsOptions, "deltaSpool"> {
  want?: readonly string[];
  of?: readonly string[];
  packing?: Packing;
}

/** Exports an image of these layers from an engine's content store. */
async function startExport(options: ExportOptions = {}): Promise<Export> {
  const { want = [top, large, bottom].map(({ diffId }) => diffId), of = diffIds, deltaSpool } = options;
  const packing = options.packing ?? { codec: commonCodec(["brotli"]) };
  const fake = await contentEngine({ blobs: layers.map(({ stored }) => ({ bytes: stored })), ...options });
  const engine = await openEngine(fake.endpoint);
  const content = await engine.contentStore();
  if (content === undefined) throw new Error("the engine has no content store");
  const announced: AnnouncedLayer[] = [];
  const allAnnounced = latch();
  const announce = (layer: AnnouncedLayer): void => {
    announced.push(layer);
    if (announced.length === want.length) allAnnounced.open();
  };
  const offer = {
    repository: "r",
    tag: "t",
    layers: "announced" as const,
    credentials: { username: "u", password: "p" },
  };
  const outgoing = new OutgoingBlobs({ offer, diffIds: of, packing, announce, deltaSpool });
  const stop = new AbortController();
  const result = exportFromContentStore(outgoing, { content, manifest: parseImageManifest(manifest.bytes), config }, {
    info: { diffIds: of },
    want: { diffIds: want },
    image: { given: "app:v1" },
    packing,
    signal: stop.signal,
  } as unknown as EngineOfferOptions);
  result.catch(() => {}); // awaited by the test
  if (want.length > 0) await Promise.race([allAnnounced.opened, result]).catch(() => {});
  return {
    outgoing,
    fake,
    announced,
    result,
    stop,
    async blob({ blob: { digest } }) {
      const found = await outgoing.content.blob("r", digest);
      if (found === undefined) throw new Error(`${digest} is not an outgoing blob`);
      return found;
    },
    async goesOn() {
      const later = new Promise((resolve) => setImmediate(resolve, "later"));
      return (await Promise.race([result, later])) === "later";
    },
    async [Symbol.asyncDispose]() {
      await outgoing[Symbol.asyncDispose]();
      await engine[Symbol.asyncDispose]();
      await fake[Symbol.asyncDispose]();
    },
  };
}

async function spool() {
  const folder = await temporaryFolder();
  const opened = lazySpool({ XDG_CACHE_HOME: folder.path }, newRunId());
  return {
    opened,
    async [Symbol.asyncDispose]() {
      await opened[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

describe("wanted layers", () => {
  test("are announced as they are stored, and read only when they are fetched", async () => {
    await using exported = await startExport();
    expect(exported.announced).toEqual([bottom, large, top].map(({ diffId, blob }) => ({ diffId, ...blob })));
    expect(exported.fake.reads).toEqual([]);
    const fetched = await Promise.all(
      [bottom, large, top].map(async (layer) => digestOf(await buffer(await (await exported.blob(layer)).open()))),
    );
    expect(fetched).toEqual([bottom, large, top].map(({ blob }) => blob.digest));
    await expect(exported.blob(layers[1] as Layer)).rejects.toThrow("is not an outgoing blob");
    expect(await exported.goesOn()).toBe(true);
  });

  test("are read in the requested range, and no further", async () => {
    await using exported = await startExport();
    const part = await buffer(await (await exported.blob(large)).open({ first: 1000, last: 99_999 }));
    expect(part.equals(large.stored.subarray(1000, 100_000))).toBe(true);
    expect(exported.fake.reads).toEqual([{ digest: large.blob.digest, offset: 1000, size: 99_000 }]);
  });

  test("are packed for the transfer from any byte if they are stored plain", async () => {
    await using exported = await startExport();
    const { packed } = await exported.blob(bottom);
    const from = 2 * BLOCK + 5;
    const { first, stream } = packed?.(from) ?? {};
    expect(first).toBe(from);
    const bytes = await buffer(stream as Readable);
    expect(bytes.length).toBeLessThan(BLOCK / 100);
    expect((await buffer(unpack(asStream(bytes)))).equals(plain.subarray(from))).toBe(true);
    expect(exported.fake.reads).toEqual([{ digest: bottom.blob.digest, offset: from, size: BLOCK - 5 }]);
    expect((await exported.blob(top)).packed).toBeUndefined();
  });

  test("are not packed without a codec", async () => {
    await using exported = await startExport({ packing: { codec: undefined } });
    expect((await exported.blob(bottom)).packed).toBeUndefined();
  });

  test("can be sent by delta if they are large, and are read and cut when the recipe is requested", async () => {
    await using into = await spool();
    await using exported = await startExport({ deltaSpool: into.opened, want: [large.diffId, top.diffId] });
    expect(exported.announced).toEqual([
      { diffId: large.diffId, ...large.blob, cutting: "leaves-blob" },
      { diffId: top.diffId, ...top.blob },
    ]);
    expect(exported.fake.reads).toEqual([]);
    expect(await exported.outgoing.content.blob("r", large.diffId)).toBeUndefined();
    const cut = await exported.outgoing.content.delta?.("r", large.diffId);
    expect((await buffer(unpack(cut?.recipe() as Readable))).length).toBeGreaterThan(0);
    expect(exported.fake.reads.map(({ digest }) => digest)).toEqual([large.blob.digest]);
    const whole = await exported.outgoing.content.blob("r", large.diffId);
    expect((await buffer((await whole?.open()) as Readable)).equals(tar)).toBe(true);
  });

  test("are not cut further when the reader closes the recipe, and can be fetched as they are stored", async () => {
    await using into = await spool();
    const aborted = latch();
    await using exported = await startExport({
      deltaSpool: into.opened,
      want: [large.diffId],
      read: async function* (_, { signal }) {
        signal.addEventListener("abort", aborted.open);
        for (;;) yield { data: plain.subarray(0, 64 * 1024) };
      },
    });
    const cut = await exported.outgoing.content.delta?.("r", large.diffId);
    const recipe = cut?.recipe().on("error", () => {});
    recipe?.destroy();
    await aborted.opened;
    expect(await exported.goesOn()).toBe(true);
    expect(await exported.outgoing.content.blob("r", large.blob.digest)).toBeDefined();
  });

  test("that occur twice in the image are announced once", async () => {
    const twice = diffIds.with(3, bottom.diffId);
    await using exported = await startExport({ of: twice, want: [bottom.diffId] });
    expect(exported.announced.map(({ digest }) => digest)).toEqual([bottom.blob.digest]);
  });

  test("are served with the image's stored manifest and config", async () => {
    await using exported = await startExport({ want: [] });
    expect(await exported.outgoing.content.manifest("r", "t")).toEqual({
      ...manifest.descriptor,
      bytes: manifest.bytes,
    });
    const blob = await exported.outgoing.content.blob("r", digestOf(config));
    expect(await buffer((await blob?.open()) as Readable)).toEqual(config);
    expect(exported.announced).toEqual([]);
  });
});

test("are not exported if the manifest names other layers", async () => {
  await using exported = await startExport({ of: diffIds.slice(1) });
  expect(await exported.result).toBe(false);
  expect([exported.announced, exported.fake.reads]).toEqual([[], []]);
});

describe("the export ends", () => {
  test("when the receiver fetches nothing more", async () => {
    await using exported = await startExport();
    expect(await exported.goesOn()).toBe(true);
    exported.stop.abort(new Error("the receiver is done"));
    expect(await exported.result).toBe(true);
    await using late = await startExport();
    const reading = await (await late.blob(large)).open();
    late.stop.abort(new Error("the receiver is done"));
    expect((await rejection(buffer(reading))).message).toBe("the receiver is done");
    expect(await late.result).toBe(true);
  });

  test("but not when a reader closes its stream: only the engine's stream ends, and the layer can be fetched again", async () => {
    const ended = latch();
    await using exported = await startExport({
      read: async function* ({ digest }, { signal }) {
        if (digest === top.blob.digest) return yield { data: top.stored };
        signal.addEventListener("abort", ended.open);
        for (;;) yield { data: plain.subarray(0, 64 * 1024) };
      },
    });
    for await (const _ of await (await exported.blob(bottom)).open()) break;
    await ended.opened;
    for await (const _ of (await exported.blob(bottom)).packed?.(0).stream ?? []) break;
    expect((await buffer(await (await exported.blob(top)).open())).equals(top.stored)).toBe(true);
    expect(await exported.goesOn()).toBe(true);
  });

  test.each(["as it is stored", "packed"])("with a failure when a layer fetched %s no longer exists", async (how) => {
    await using exported = await startExport();
    exported.fake.blobs.delete(bottom.blob.digest);
    const blob = await exported.blob(bottom);
    const stream = how === "packed" ? blob.packed?.(0).stream : await blob.open();
    expect(await rejection(buffer(stream as Readable))).toBeInstanceOf(BlobGone);
    const failure = await rejection(exported.result);
    expect(failure).toBeInstanceOf(Failure);
    expect(failure).toMatchObject({ code: "transfer-failed", cause: { name: "BlobGone" } });
    expect(failure.message).toMatch(/^a layer of app:v1 can no longer be read: the engine does not have the blob/);
    expect(failure.hint).toContain("docker images");
  });

  test("with a failure when a layer to cut no longer exists", async () => {
    await using into = await spool();
    const blobs = [bottom, top].map(({ stored }) => ({ bytes: stored }));
    await using exported = await startExport({ deltaSpool: into.opened, want: [large.diffId], blobs });
    const cut = await exported.outgoing.content.delta?.("r", large.diffId);
    cut?.recipe().on("error", () => {});
    expect(await rejection(exported.result)).toMatchObject({ code: "transfer-failed", cause: { name: "BlobGone" } });
  });

  test("with a failure when the engine's stream fails", async () => {
    await using exported = await startExport({
      read: async function* () {
        yield {};
        throw new Error("the disk is gone");
      },
    });
    expect(await rejection(buffer(await (await exported.blob(top)).open()))).toBeInstanceOf(EngineError);
    expect(await rejection(exported.result)).toMatchObject({ code: "transfer-failed", cause: { name: "EngineError" } });
  });

  test.each([
    ["fewer", top.stored.subarray(1)],
    ["more", Buffer.concat([top.stored, top.stored])],
  ])("with a failure when a blob has %s bytes than its manifest names", async (_, data) => {
    const read = async function* () {
      yield { data };
    };
    await using exported = await startExport({ read });
    expect(await rejection(buffer(await (await exported.blob(top)).open()))).toBeInstanceOf(InvalidImage);
    expect(await rejection(exported.result)).toMatchObject({
      code: "transfer-failed",
      cause: { name: "InvalidImage" },
    });
  });

  test("but not when a blob has different bytes, which the receiver detects", async () => {
    const other = { bytes: Buffer.alloc(top.blob.size, "other"), digest: top.blob.digest };
    await using exported = await startExport({ blobs: [other] });
    expect((await buffer(await (await exported.blob(top)).open())).equals(other.bytes)).toBe(true);
    expect(await exported.goesOn()).toBe(true);
  });
});

async function* asStream(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}
