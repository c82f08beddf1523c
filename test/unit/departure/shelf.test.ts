import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { AnnouncedLayer } from "../../../src/conversation.ts";
import { Shelf } from "../../../src/departure/shelf.ts";
import { digestOf } from "../../../src/image/digest.ts";
import { MEDIA_TYPE } from "../../../src/image/manifest.ts";
import { commonCodec } from "../../../src/packing/codecs.ts";
import { BLOCK } from "../../../src/packing/pack.ts";
import { unpack } from "../../../src/packing/unpack.ts";
import { queue } from "../../../src/streams/queue.ts";
import { buffer } from "node:stream/consumers";

let folder: string;
let shelf: Shelf;
const announced: AnnouncedLayer[] = [];
const offer = { repository: "r", tag: "t", credentials: { username: "u", password: "p" } };
const [bottom, top, unwanted] = [Buffer.alloc(3 * BLOCK, "bottom"), Buffer.from("top"), Buffer.from("unwanted")];
const diffIds = [digestOf(bottom), digestOf(unwanted), digestOf(top)];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "shelf-"));
  announced.length = 0;
  const spool = { pathFor: (name: string) => join(folder, name), [Symbol.asyncDispose]: async () => {} };
  shelf = new Shelf({
    spool,
    offer,
    diffIds,
    codec: commonCodec(["brotli"]),
    announce: (layer) => announced.push(layer),
  });
});
afterEach(async () => {
  await shelf[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const packedBlob = async (diffId: string | undefined) => (await shelf.content.blob("r", diffId ?? ""))?.packed?.();

test("a layer is announced and read while it is still being packed", async () => {
  const plain = queue<Buffer>();
  const packing = shelf.pack(digestOf(bottom), bottom.length, plain);
  for (let at = 0; at < 2 * BLOCK; at += BLOCK) plain.push(bottom.subarray(at, at + BLOCK));
  // More blocks than are compressed at once, so that the first comes out before the last has come in.
  while (announced.length === 0) await new Promise((resolve) => setImmediate(resolve));
  expect(announced).toEqual([
    { diffId: diffIds[0], digest: diffIds[0], size: bottom.length, mediaType: MEDIA_TYPE.ociLayer },
  ]);
  const reading = buffer(unpack((await packedBlob(diffIds[0])) as AsyncIterable<Buffer>));
  plain.push(bottom.subarray(2 * BLOCK));
  plain.end();
  await packing;
  expect((await reading).equals(bottom)).toBe(true);
});

test("manifest and config come when all is there; the others stand in it by their diff ID, and cannot be had", async () => {
  const asked = shelf.content.manifest("r", "t");
  const gzipped = { mediaType: MEDIA_TYPE.ociLayerGzip, digest: digestOf("gzipped"), size: 7 };
  const none = (): never => {
    throw new Error("not opened here");
  };
  shelf.keep(diffIds[2] ?? "", gzipped, { size: 7, open: none });
  await shelf.pack(diffIds[0] ?? "", bottom.length, queueOf(bottom));
  const config = Buffer.from("{}");
  shelf.finish(config);
  const manifest = JSON.parse(Buffer.from((await asked)?.bytes ?? []).toString()) as { layers: object[] };
  expect(manifest.layers).toEqual([
    { mediaType: MEDIA_TYPE.ociLayer, digest: diffIds[0], size: bottom.length },
    { mediaType: MEDIA_TYPE.ociLayer, digest: diffIds[1], size: 0 },
    gzipped,
  ]);
  expect((await shelf.content.blob("r", digestOf(config)))?.size).toBe(2);
  expect(await shelf.content.blob("r", diffIds[1] ?? "")).toBeUndefined();
  expect(await shelf.content.blob("other", diffIds[0] ?? "")).toBeUndefined();
  expect([shelf.has(diffIds[0] ?? ""), shelf.has(diffIds[1] ?? "")]).toEqual([true, false]);
});

test("who waits for the manifest is told when it will not come", async () => {
  const asked = shelf.content.manifest("r", "t");
  asked.catch(() => {});
  await shelf[Symbol.asyncDispose]();
  await expect(asked).rejects.toThrow("not being sent any more");
});

function queueOf(bytes: Buffer): AsyncIterable<Buffer> {
  const all = queue<Buffer>();
  all.push(bytes);
  all.end();
  return all;
}
