import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { AnnouncedLayer } from "../../../src/conversation/messages.ts";
import { OutgoingBlobs } from "../../../src/send/outgoing-blobs.ts";
import { hasZstd } from "../../../src/image/layer/zstd-frames.ts";
import { digestOf, hexOf } from "../../../src/image/digest.ts";
import { withDescriptor, MEDIA_TYPE } from "../../../src/image/manifest.ts";
import type { NoRoomReason } from "../../../src/output/reasons.ts";
import { commonCodec } from "../../../src/packing/codecs.ts";
import { BLOCK } from "../../../src/packing/pack.ts";
import { unpack } from "../../../src/packing/unpack.ts";
import type { LazySpool } from "../../../src/run/spool.ts";
import { queue } from "../../../src/streams/queue.ts";
import type { Detail } from "../../../src/output/details.ts";
import { detailText } from "../../../src/output/detail-texts.ts";

let outgoing: OutgoingBlobs;
const announced: AnnouncedLayer[] = [];
const offer = {
  repository: "r",
  tag: "t",
  layers: "announced" as const,
  credentials: { username: "u", password: "p" },
};
const [bottom, top, unwanted] = [Buffer.alloc(3 * BLOCK, "bottom"), Buffer.from("top"), Buffer.from("unwanted")];
const diffIds = [digestOf(bottom), digestOf(unwanted), digestOf(top)];

beforeEach(() => {
  announced.length = 0;
  const packing = { codec: commonCodec(["brotli"]) };
  outgoing = new OutgoingBlobs({ offer, diffIds, packing, announce: (layer) => announced.push(layer) });
});
afterEach(async () => await outgoing[Symbol.asyncDispose]());

const blob = async (digest: string | undefined) => await outgoing.content.blob("r", digest ?? "");
const packedBlob = async (diffId: string | undefined, from = 0) =>
  (await blob(diffId))?.packed?.(from).stream as Readable;

test("announces a layer, which can be read while it is packed", async () => {
  const plain = queue<Buffer>();
  const packing = outgoing.addPlainStream(digestOf(bottom), bottom.length, plain);
  for (let at = 0; at < 2 * BLOCK; at += BLOCK) plain.push(bottom.subarray(at, at + BLOCK));
  // More blocks than are compressed at the same time, so that the first is yielded before the last is read.
  while (announced.length === 0) await new Promise((resolve) => setImmediate(resolve));
  expect(announced).toEqual([
    { diffId: diffIds[0], digest: diffIds[0], size: bottom.length, mediaType: MEDIA_TYPE.ociLayer },
  ]);
  const reading = buffer(unpack(await packedBlob(diffIds[0])));
  plain.push(bottom.subarray(2 * BLOCK));
  plain.end();
  expect((await reading).equals(bottom)).toBe(true);
  await packing;
});

test("resolves after adding a stream when the receiver has read it, packed or as stored, and rejects a second read", async () => {
  const gzipped = { mediaType: MEDIA_TYPE.ociLayerGzip, digest: digestOf("gzipped"), size: 7 };
  const done: string[] = [];
  const packing = outgoing.addPlainStream(diffIds[2] ?? "", top.length, queueOf(top)).then(() => done.push("packed"));
  const adding = outgoing
    .addStoredStream(diffIds[0] ?? "", gzipped, queueOf(Buffer.from("gzipped")))
    .then(() => done.push("added"));
  expect(announced.map(({ digest }) => digest)).toEqual([diffIds[2], gzipped.digest]);
  for (let turn = 0; turn < 100; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  expect(done).toEqual([]);
  const stored = await blob(gzipped.digest);
  expect(stored?.size).toBe(7);
  expect((await buffer((await stored?.open()) as Readable)).toString()).toBe("gzipped");
  await adding;
  expect(done).toEqual(["added"]);
  await buffer(unpack(await packedBlob(diffIds[2])));
  await packing;
  await expect(async () => await packedBlob(diffIds[2])).rejects.toThrow("not stored");
});

test("answers an early request for the config when all layers are available", async () => {
  const config = Buffer.from("{}");
  const packing = { codec: undefined };
  await using other = new OutgoingBlobs({
    offer,
    diffIds,
    configDigest: digestOf(config),
    packing,
    announce: () => {},
  });
  const request = other.content.blob("r", digestOf(config));
  // Other requests are answered immediately: an engine has other things to do.
  expect(await other.content.blob("r", digestOf("other"))).toBeUndefined();
  expect(await other.content.blob("another", digestOf(config))).toBeUndefined();
  other.finish(config);
  expect((await request)?.size).toBe(2);
});

test("fails the reader and the export of a layer that fails", async () => {
  async function* broken(): AsyncGenerator<Buffer> {
    yield top;
    throw new Error("it is another layer");
  }
  const packing = outgoing.addPlainStream(diffIds[2] ?? "", top.length, broken());
  const reading = packedBlob(diffIds[2]).then(buffer);
  await Promise.all([expect(packing).rejects.toThrow("another"), expect(reading).rejects.toThrow("another")]);
});

test("serves manifest and config when all layers are available; unwanted layers have diff IDs in the manifest, and cannot be fetched", async () => {
  const request = outgoing.content.manifest("r", "t");
  const gzipped = { mediaType: MEDIA_TYPE.ociLayerGzip, digest: digestOf("gzipped"), size: 7 };
  const neverOpened = (): never => {
    throw new Error("not opened here");
  };
  await outgoing.addStored(diffIds[2] ?? "", gzipped, { size: 7, open: neverOpened });
  const packing = outgoing.addPlainStream(diffIds[0] ?? "", bottom.length, queueOf(bottom));
  await buffer(await packedBlob(diffIds[0]));
  await packing;
  const config = Buffer.from("{}");
  outgoing.finish(config);
  const manifest = JSON.parse(Buffer.from((await request)?.bytes ?? []).toString()) as { layers: object[] };
  expect(manifest.layers).toEqual([
    { mediaType: MEDIA_TYPE.ociLayer, digest: diffIds[0], size: bottom.length },
    { mediaType: MEDIA_TYPE.ociLayer, digest: diffIds[1], size: 0 },
    gzipped,
  ]);
  expect((await outgoing.content.blob("r", digestOf(config)))?.size).toBe(2);
  expect(await outgoing.content.blob("r", diffIds[1] ?? "")).toBeUndefined();
  expect(await outgoing.content.blob("other", diffIds[0] ?? "")).toBeUndefined();
  expect([outgoing.has(diffIds[0] ?? ""), outgoing.has(diffIds[1] ?? "")]).toEqual([true, false]);
});

test("cuts a layer in zstd if this Node can decompress it; otherwise reports for --verbose that it is sent whole", async () => {
  const details: string[] = [];
  const deltaSpool = { open: async () => ({}) } as unknown as LazySpool;
  const onDetail = (detail: Detail): void => void details.push(detailText(detail));
  const packing = { codec: undefined };
  const announcedLayers: AnnouncedLayer[] = [];
  const announce = (layer: AnnouncedLayer): void => void announcedLayers.push(layer);
  await using other = new OutgoingBlobs({ offer, diffIds, packing, deltaSpool, announce, onDetail });
  const layer = { mediaType: MEDIA_TYPE.ociLayerZstd, digest: digestOf("zstd"), size: 5_000_000 };
  await other.addStored(diffIds[0] ?? "", layer, {
    size: layer.size,
    open: () => Promise.reject(new Error("not opened here")),
  });
  expect(announcedLayers.map(({ cutting }) => cutting)).toEqual([hasZstd ? "leaves-blob" : undefined]);
  const why = "is sent whole: it is compressed with zstd, which this Node cannot decompress (5 MB)";
  expect(details).toEqual(hasZstd ? [] : [`layer ${hexOf(diffIds[0] ?? "").slice(0, 12)} ${why}`]);
});

test("serves a manifest to preserve unchanged, unless the image has its own", async () => {
  for (const own of [undefined, withDescriptor({ mediaType: MEDIA_TYPE.ociManifest, bytes: Buffer.from("own") })]) {
    const manifest = withDescriptor({ mediaType: MEDIA_TYPE.dockerManifest, bytes: Buffer.from(" {}") });
    await using other = new OutgoingBlobs({
      offer,
      diffIds,
      manifest,
      packing: { codec: undefined },
      announce: () => {},
    });
    other.finish(Buffer.from("{}"), own);
    const { bytes, descriptor } = own ?? manifest;
    expect(await other.content.manifest("r", "t")).toEqual({ ...descriptor, bytes });
  }
});

test("fails a request for the manifest when the transfer ends", async () => {
  const request = outgoing.content.manifest("r", "t");
  request.catch(() => {});
  await outgoing[Symbol.asyncDispose]();
  await expect(request).rejects.toThrow("no longer being sent");
});

test("does not wait at the end for a layer that was not fetched", async () => {
  const packing = outgoing.addPlainStream(diffIds[0] ?? "", bottom.length, queueOf(bottom));
  await outgoing[Symbol.asyncDispose]();
  await expect(packing).rejects.toThrow("no longer being sent");
  await expect(packedBlob(diffIds[0]).then(buffer)).rejects.toThrow("no longer being sent");
});

function queueOf(bytes: Buffer): AsyncIterable<Buffer> {
  const all = queue<Buffer>();
  all.push(bytes);
  all.end();
  return all;
}

test("rejects a layer that is added after the end", async () => {
  await outgoing[Symbol.asyncDispose]();
  await expect(outgoing.addPlainStream(diffIds[0] ?? "", bottom.length, queueOf(bottom))).rejects.toThrow(
    "no longer being sent",
  );
});

test("packs a layer of which the receiver has a partial file from the requested offset", async () => {
  const begun = new Set(diffIds.slice(0, 1));
  await using other = new OutgoingBlobs({
    offer,
    diffIds,
    packing: { codec: commonCodec(["brotli"]) },
    begun,
    announce: () => {},
  });
  const packing = other.addPlainStream(diffIds[0] ?? "", bottom.length, queueOf(bottom));
  const from = 2 * BLOCK + 5;
  const part = (await other.content.blob("r", diffIds[0] ?? ""))?.packed?.(from);
  expect(part?.first).toBe(from);
  expect((await buffer(unpack(part?.stream as Readable))).equals(bottom.subarray(from))).toBe(true);
  await packing;
});

test("serves a range of a stored stream", async () => {
  const gzipped = { mediaType: MEDIA_TYPE.ociLayerGzip, digest: digestOf("gzipped"), size: 7 };
  const adding = outgoing.addStoredStream(diffIds[0] ?? "", gzipped, queueOf(Buffer.from("gzipped")));
  const part = await (await blob(gzipped.digest))?.open({ first: 4, last: 6 });
  expect((await buffer(part as Readable)).toString()).toBe("ped");
  await adding;
});

test.each(["neither of its files", "only one of its files"])(
  "sends a layer whole if %s can be created for it, and reports that once",
  async (creatable) => {
    const folder = mkdtempSync(join(tmpdir(), "dos-outgoing-"));
    try {
      const pathFor = (name: string): string =>
        join(folder, ...(creatable.startsWith("only") ? [] : ["nowhere"]), name);
      const deltaSpool = { open: async () => ({ pathFor }) } as unknown as LazySpool;
      const [onNoSpace, onFailure] = [vi.fn<(reason: NoRoomReason) => void>(), vi.fn<(error: unknown) => void>()];
      const packing = { codec: commonCodec(["brotli"]) };
      const announcedLayers: AnnouncedLayer[] = [];
      const announce = (layer: AnnouncedLayer): void => void announcedLayers.push(layer);
      await using other = new OutgoingBlobs({ offer, diffIds, packing, deltaSpool, announce, onNoSpace, onFailure });
      const [stored, passing] = [Buffer.alloc(600_000, "stored"), Buffer.alloc(600_000, "passing")];
      const names = [stored, passing].map((bytes) => hexOf(digestOf(bytes)));
      if (creatable.startsWith("only")) for (const name of names) writeFileSync(join(folder, name), "another file");
      const descriptor = { mediaType: MEDIA_TYPE.ociLayer, digest: digestOf(stored), size: stored.length };
      const open = (): Readable => Readable.from([stored], { objectMode: false });
      await other.addStored(digestOf(stored), descriptor, { size: stored.length, open });
      const packed = other.addPlainStream(digestOf(passing), passing.length, queueOf(passing));
      while (announcedLayers.length < 2) await new Promise((resolve) => setImmediate(resolve));
      expect(announcedLayers.map(({ cutting }) => cutting)).toEqual(["leaves-blob", "consumes-blob"]);
      for (const { diffId } of announcedLayers) expect(await other.content.delta?.("r", diffId)).toBeUndefined();
      const ofStored = await other.content.blob("r", digestOf(stored));
      expect((await buffer((await ofStored?.open()) as Readable)).equals(stored)).toBe(true);
      const ofPassing = await other.content.blob("r", digestOf(passing));
      expect((await buffer(unpack(ofPassing?.packed?.(0).stream as Readable))).equals(passing)).toBe(true);
      await packed;
      expect(onNoSpace.mock.calls).toEqual([[expect.objectContaining({ code: "no-files" })]]);
      expect(onFailure).not.toHaveBeenCalled();
      expect(readdirSync(folder).toSorted()).toEqual(creatable.startsWith("only") ? names.toSorted() : []);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
);
