import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { archivedBlob } from "../../../src/send/archived-blob.ts";
import type { ArchivedLayer } from "../../../src/image/archive/image-archive.ts";
import { digestOf } from "../../../src/image/digest.ts";
import { MEDIA_TYPE } from "../../../src/image/manifest.ts";
import { CODECS } from "../../../src/packing/codecs.ts";
import { PacedPacker } from "../../../src/packing/paced-packer.ts";
import { unpack } from "../../../src/packing/unpack.ts";
import { pseudoRandomBytes } from "../pseudo-random.ts";
import { bytesOf } from "../image/tar/make-tar.ts";

const packer = new PacedPacker({ codec: CODECS[0] });
const bytes = Buffer.concat([pseudoRandomBytes(300_000, 1), Buffer.alloc(300_000, "text ")]);
const gzipped = gzipSync(bytes);

function layer(stored: Buffer, diffId = digestOf(bytes)): ArchivedLayer {
  const mediaType = stored === bytes ? MEDIA_TYPE.ociLayer : MEDIA_TYPE.ociLayerGzip;
  const chunks = async function* () {
    for (let at = 0; at < stored.length; at += 1000) yield stored.subarray(at, at + 1000);
  };
  return {
    diffId,
    blob: { mediaType, digest: digestOf(stored), size: stored.length },
    open: () => Readable.from(chunks(), { objectMode: false }),
  };
}

const never = (error: Error): void => expect.unreachable(String(error));

test("packs a plain layer for the transfer, and serves a compressed layer as it is stored", async () => {
  const plain = archivedBlob(layer(bytes), { packer, onError: never });
  const packed = await bytesOf(plain.packed?.(0).stream ?? Readable.from([]));
  expect(packed.length).toBeLessThan(350_000);
  expect((await bytesOf(unpack(Readable.from([packed], { objectMode: false })))).equals(bytes)).toBe(true);
  expect((await bytesOf(await plain.open())).equals(bytes)).toBe(true);
  expect(archivedBlob(layer(bytes), { packer: undefined, onError: never }).packed).toBeUndefined();

  const stored = archivedBlob(layer(gzipped), { packer, onError: never });
  expect(stored.packed).toBeUndefined();
  expect((await bytesOf(await stored.open())).equals(gzipped)).toBe(true);
});

test.each([
  [0, 0],
  [999, 1000],
  [1500, 250_000],
  [599_000, 599_999],
])("serves the range from %i to %i", async (first, last) => {
  const blob = archivedBlob(layer(bytes), { packer, onError: never });
  expect((await bytesOf(await blob.open({ first, last }))).equals(bytes.subarray(first, last + 1))).toBe(true);
});

test("packs a plain layer from any offset", async () => {
  const { first, stream } = archivedBlob(layer(bytes), { packer, onError: never }).packed?.(1234) ?? {};
  expect(first).toBe(1234);
  expect((await bytesOf(Readable.from(unpack(stream ?? Readable.from([]))))).equals(bytes.subarray(1234))).toBe(true);
});

describe("when it reads a layer,", () => {
  test("reports another diff ID", async () => {
    const reported: Error[] = [];
    const other = digestOf("another");
    const blob = archivedBlob(layer(gzipped, other), { packer, onError: (error) => reported.push(error) });
    await expect(bytesOf(await blob.open())).rejects.toThrow(
      `the uncompressed layer ${other} has the digest ${digestOf(bytes)}`,
    );
    expect(reported).toHaveLength(1);
  });

  test("does not report a reader that leaves", async () => {
    const reported: Error[] = [];
    for (const stored of [bytes, gzipped]) {
      const blob = archivedBlob(layer(stored), { packer, onError: (error) => reported.push(error) });
      for await (const _ of await blob.open()) break;
      for await (const _ of blob.packed?.(0).stream ?? []) break;
    }
    expect(reported).toEqual([]);
  });
});
