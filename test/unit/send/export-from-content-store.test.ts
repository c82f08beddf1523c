import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import type { AnnouncedLayer } from "../../../src/conversation/messages.ts";
import type { EngineOfferOptions } from "../../../src/send/engine-offer-options.ts";
import { OutgoingBlobs, type OutgoingBlobsOptions } from "../../../src/send/outgoing-blobs.ts";
import { exportFromContentStore } from "../../../src/send/export-from-content-store.ts";
import { BlobGone } from "../../../src/engine/content-store.ts";
import { openEngine } from "../../../src/engine/open-engine.ts";
import { EngineError } from "../../../src/engine/engine-error.ts";
import { newRunId } from "../../../src/run/run-id.ts";
import { digestOf } from "../../../src/image/digest.ts";
import { MEDIA_TYPE, parseImageManifest, encodeManifest } from "../../../src/image/manifest.ts";
import { Failure } from "../../../src/output/errors.ts";
import { commonCodec } from "../../../src/packing/codecs.ts";
import { BLOCK } from "../../../src/packing/pack.ts";
import type { Packing } from "../../../src/packing/paced-packer.ts";
import { unpack } from "../../../src/packing/unpack.ts";
import type { StoredBlob } from "../../../src/registry/embedded/registry-content.ts";
import { lazySpool } from "../../../src/run/spool.ts";
import { contentEngine, type ContentEngine, type ContentEngineOptions } from "../engine/fake-content-engine.ts";
import { latch, rejection, temporaryFolder } from "../engine/fake-engine.ts";
import { makeTar } from "../image/tar/make-tar.ts";
import { pseudoRandomBytes } from "../pseudo-random.ts";
import { InvalidImage } from "../../../src/image/invalid-image.ts";

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

interface Taking extends AsyncDisposable {
  outgoing: OutgoingBlobs;
  fake: ContentEngine;
  announced: AnnouncedLayer[];
  /** What becomes of it. */
  taken: Promise<boolean>;
  stop: AbortController;
  /** A blob on the shelf. */
  blob(layer: Layer): Promise<StoredBlob>;
  /** It has not ended yet. */
  goesOn(): Promise<boolean>;
}

interface TakingOptions extends ContentEngineOptions, Pick<OutgoingBlobsOptions, "deltaSpool"> {
  want?: readonly string[];
  of?: readonly string[];
  packing?: Packing;
}

/** An image of these layers, on its way out of an engine's content store. */
async function take(options: TakingOptions = {}): Promise<Taking> {
  const { want = [top, large, bottom].map(({ diffId }) => diffId), of = diffIds, deltaSpool } = options;
  const packing = options.packing ?? { codec: commonCodec(["brotli"]) };
  const fake = await contentEngine({ blobs: layers.map(({ stored }) => ({ bytes: stored })), ...options });
  const engine = await openEngine(fake.endpoint);
  const content = await engine.contentStore();
  if (content === undefined) throw new Error("it has none");
  const announced: AnnouncedLayer[] = [];
  const all = latch();
  const announce = (layer: AnnouncedLayer): void => {
    announced.push(layer);
    if (announced.length === want.length) all.open();
  };
  const offer = { repository: "r", tag: "t", credentials: { username: "u", password: "p" } };
  const outgoing = new OutgoingBlobs({ offer, diffIds: of, packing, announce, deltaSpool });
  const stop = new AbortController();
  const taken = exportFromContentStore(outgoing, { content, manifest: parseImageManifest(manifest.bytes), config }, {
    info: { diffIds: of },
    want: { diffIds: want },
    image: { given: "app:v1" },
    packing,
    signal: stop.signal,
  } as unknown as EngineOfferOptions);
  taken.catch(() => {}); // awaited by the test
  if (want.length > 0) await Promise.race([all.opened, taken]).catch(() => {});
  return {
    outgoing,
    fake,
    announced,
    taken,
    stop,
    async blob({ blob: { digest } }) {
      const found = await outgoing.content.blob("r", digest);
      if (found === undefined) throw new Error(`${digest} is not on the shelf`);
      return found;
    },
    async goesOn() {
      const later = new Promise((resolve) => setImmediate(resolve, "later"));
      return (await Promise.race([taken, later])) === "later";
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

describe("layers that are wanted", () => {
  test("are announced as they are stored, and none is read before it is fetched", async () => {
    await using taking = await take();
    expect(taking.announced).toEqual([bottom, large, top].map(({ diffId, blob }) => ({ diffId, ...blob })));
    expect(taking.fake.reads).toEqual([]);
    const fetched = await Promise.all(
      [bottom, large, top].map(async (layer) => digestOf(await buffer(await (await taking.blob(layer)).open()))),
    );
    expect(fetched).toEqual([bottom, large, top].map(({ blob }) => blob.digest));
    await expect(taking.blob(layers[1] as Layer)).rejects.toThrow("is not on the shelf");
    expect(await taking.goesOn()).toBe(true);
  });

  test("are read from where the receiver wants them, and no further", async () => {
    await using taking = await take();
    const part = await buffer(await (await taking.blob(large)).open({ first: 1000, last: 99_999 }));
    expect(part.equals(large.stored.subarray(1000, 100_000))).toBe(true);
    expect(taking.fake.reads).toEqual([{ digest: large.blob.digest, offset: 1000, size: 99_000 }]);
  });

  test("are packed for the way when they are stored plain, from any byte on", async () => {
    await using taking = await take();
    const { packed } = await taking.blob(bottom);
    const from = 2 * BLOCK + 5;
    const { first, stream } = packed?.(from) ?? {};
    expect(first).toBe(from);
    const bytes = await buffer(stream as Readable);
    expect(bytes.length).toBeLessThan(BLOCK / 100);
    expect((await buffer(unpack(asStream(bytes)))).equals(plain.subarray(from))).toBe(true);
    expect(taking.fake.reads).toEqual([{ digest: bottom.blob.digest, offset: from, size: BLOCK - 5 }]);
    expect((await taking.blob(top)).packed).toBeUndefined();
  });

  test("are not packed where nothing is to be packed", async () => {
    await using taking = await take({ packing: { codec: undefined } });
    expect((await taking.blob(bottom)).packed).toBeUndefined();
  });

  test("can be had in pieces where that is worth it, and are read and cut when those are asked for", async () => {
    await using into = await spool();
    await using taking = await take({ deltaSpool: into.opened, want: [large.diffId, top.diffId] });
    expect(taking.announced).toEqual([
      { diffId: large.diffId, ...large.blob, cutting: "leaves-blob" },
      { diffId: top.diffId, ...top.blob },
    ]);
    expect(taking.fake.reads).toEqual([]);
    expect(await taking.outgoing.content.blob("r", large.diffId)).toBeUndefined();
    const cut = await taking.outgoing.content.delta?.("r", large.diffId);
    expect((await buffer(unpack(cut?.recipe() as Readable))).length).toBeGreaterThan(0);
    expect(taking.fake.reads.map(({ digest }) => digest)).toEqual([large.blob.digest]);
    const whole = await taking.outgoing.content.blob("r", large.diffId);
    expect((await buffer((await whole?.open()) as Readable)).equals(tar)).toBe(true);
  });

  test("are cut no further when the recipe is left, and can then be had as they are stored", async () => {
    await using into = await spool();
    const left = latch();
    await using taking = await take({
      deltaSpool: into.opened,
      want: [large.diffId],
      read: async function* (_, { signal }) {
        signal.addEventListener("abort", left.open);
        for (;;) yield { data: plain.subarray(0, 64 * 1024) };
      },
    });
    const cut = await taking.outgoing.content.delta?.("r", large.diffId);
    const recipe = cut?.recipe().on("error", () => {});
    recipe?.destroy();
    await left.opened;
    expect(await taking.goesOn()).toBe(true);
    expect(await taking.outgoing.content.blob("r", large.blob.digest)).toBeDefined();
  });

  test("are announced once when the image has them twice", async () => {
    const twice = diffIds.with(3, bottom.diffId);
    await using taking = await take({ of: twice, want: [bottom.diffId] });
    expect(taking.announced.map(({ digest }) => digest)).toEqual([bottom.blob.digest]);
  });

  test("come with the image's own manifest and config", async () => {
    await using taking = await take({ want: [] });
    expect(await taking.outgoing.content.manifest("r", "t")).toEqual({ ...manifest.descriptor, bytes: manifest.bytes });
    const blob = await taking.outgoing.content.blob("r", digestOf(config));
    expect(await buffer((await blob?.open()) as Readable)).toEqual(config);
    expect(taking.announced).toEqual([]);
  });
});

test("a manifest of other layers is not taken: nothing is on the shelf", async () => {
  await using taking = await take({ of: diffIds.slice(1) });
  expect(await taking.taken).toBe(false);
  expect([taking.announced, taking.fake.reads]).toEqual([[], []]);
});

describe("it ends", () => {
  test("when nobody will fetch them any more", async () => {
    await using taking = await take();
    expect(await taking.goesOn()).toBe(true);
    taking.stop.abort(new Error("all is there"));
    expect(await taking.taken).toBe(true);
    await using late = await take();
    const reading = await (await late.blob(large)).open();
    late.stop.abort(new Error("all is there"));
    expect((await rejection(buffer(reading))).message).toBe("all is there");
    expect(await late.taken).toBe(true);
  });

  test("but not when a reader leaves early: what it has left is not read on, and can be fetched again", async () => {
    const told = latch();
    await using taking = await take({
      read: async function* ({ digest }, { signal }) {
        if (digest === top.blob.digest) return yield { data: top.stored };
        signal.addEventListener("abort", told.open);
        for (;;) yield { data: plain.subarray(0, 64 * 1024) };
      },
    });
    for await (const _ of await (await taking.blob(bottom)).open()) break;
    await told.opened;
    for await (const _ of (await taking.blob(bottom)).packed?.(0).stream ?? []) break;
    expect((await buffer(await (await taking.blob(top)).open())).equals(top.stored)).toBe(true);
    expect(await taking.goesOn()).toBe(true);
  });

  test.each(["as it is stored", "packed"])("with a failure when a layer is gone that is fetched %s", async (how) => {
    await using taking = await take();
    taking.fake.blobs.delete(bottom.blob.digest);
    const blob = await taking.blob(bottom);
    const stream = how === "packed" ? blob.packed?.(0).stream : await blob.open();
    expect(await rejection(buffer(stream as Readable))).toBeInstanceOf(BlobGone);
    const failure = await rejection(taking.taken);
    expect(failure).toBeInstanceOf(Failure);
    expect(failure).toMatchObject({ code: "transfer-failed", cause: { name: "BlobGone" } });
    expect(failure.message).toMatch(/^a layer of app:v1 cannot be read any more: the engine does not have the blob/);
    expect(failure.hint).toContain("docker images");
  });

  test("with a failure when a layer is gone that is to be cut", async () => {
    await using into = await spool();
    const blobs = [bottom, top].map(({ stored }) => ({ bytes: stored }));
    await using taking = await take({ deltaSpool: into.opened, want: [large.diffId], blobs });
    const cut = await taking.outgoing.content.delta?.("r", large.diffId);
    cut?.recipe().on("error", () => {});
    expect(await rejection(taking.taken)).toMatchObject({ code: "transfer-failed", cause: { name: "BlobGone" } });
  });

  test("with a failure when the engine gives no more", async () => {
    await using taking = await take({
      read: async function* () {
        yield {};
        throw new Error("the disk is gone");
      },
    });
    expect(await rejection(buffer(await (await taking.blob(top)).open()))).toBeInstanceOf(EngineError);
    expect(await rejection(taking.taken)).toMatchObject({ code: "transfer-failed", cause: { name: "EngineError" } });
  });

  test.each([
    ["fewer", top.stored.subarray(1)],
    ["more", Buffer.concat([top.stored, top.stored])],
  ])("with a failure when a blob has %s bytes than its manifest says", async (_, data) => {
    const read = async function* () {
      yield { data };
    };
    await using taking = await take({ read });
    expect(await rejection(buffer(await (await taking.blob(top)).open()))).toBeInstanceOf(InvalidImage);
    expect(await rejection(taking.taken)).toMatchObject({ code: "transfer-failed", cause: { name: "InvalidImage" } });
  });

  test("but not when a blob has other bytes: the receiver proves it", async () => {
    const other = { bytes: Buffer.alloc(top.blob.size, "other"), digest: top.blob.digest };
    await using taking = await take({ blobs: [other] });
    expect((await buffer(await (await taking.blob(top)).open())).equals(other.bytes)).toBe(true);
    expect(await taking.goesOn()).toBe(true);
  });
});

async function* asStream(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}
