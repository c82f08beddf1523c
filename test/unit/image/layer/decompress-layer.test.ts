import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import * as zlib from "node:zlib";
import { describe, expect, test } from "vitest";
import { decompressLayer } from "../../../../src/image/layer/decompress-layer.ts";
import { InvalidImage } from "../../../../src/image/invalid-image.ts";
import { MEDIA_TYPE } from "../../../../src/image/manifest.ts";
import { makeTar } from "../tar/make-tar.ts";
import { pseudoRandomBytes } from "../../pseudo-random.ts";
import { counted, stream } from "./streams.ts";

const { zstdCompressSync } = zlib as { zstdCompressSync?: (bytes: Buffer) => Buffer };
const tar = await makeTar([{ name: "file", content: pseudoRandomBytes(100_000, 1) }]);
const gzip = zlib.gzipSync(tar);
/** In the format that pigz and estargz write. */
const twoMembers = Buffer.concat([zlib.gzipSync(tar.subarray(0, 40_000)), zlib.gzipSync(tar.subarray(40_000))]);
/** The output of `zstd -1` for a few letters. */
const zstd = Buffer.from("28b52ffd044841000061206c617965720aff5c4f24", "hex");

const compressed: [string, Buffer][] = [
  ["plain", tar],
  ["gzip", gzip],
  ["gzip of several members", twoMembers],
  ...(zstdCompressSync === undefined ? [] : zstdForms(zstdCompressSync)),
];

/** In the format that buildx, pzstd and Podman's zstd:chunked write, with skippable frames (RFC 8878, section 3.1.2). */
function zstdForms(compress: (bytes: Buffer) => Buffer): [string, Buffer][] {
  const skippable = Buffer.concat([Buffer.from([0x50, 0x2a, 0x4d, 0x18, 8, 0, 0, 0]), Buffer.alloc(8, 7)]);
  const frames = [0, 1, 2].map((third) =>
    compress(tar.subarray((third * tar.length) / 3, ((third + 1) * tar.length) / 3)),
  );
  return [
    ["zstd", compress(tar)],
    ["zstd of several frames", Buffer.concat(frames)],
    ["zstd with skippable frames", Buffer.concat([...frames, skippable].toSpliced(1, 0, skippable))],
  ];
}

describe("decompresses a layer", () => {
  test.each(compressed)("%s, in chunks of any size", async (_name, blob) => {
    for (const [seed, largest] of [
      [1, 7],
      [2, 700],
      [3, 200_000],
    ] as const) {
      expect((await buffer(decompressLayer(stream(blob, seed, largest)))).equals(tar)).toBe(true);
    }
  });

  test("of no bytes, or fewer than a magic number", async () => {
    expect(await buffer(decompressLayer(stream(Buffer.alloc(0))))).toHaveLength(0);
    expect(await buffer(decompressLayer(stream(Buffer.from("abc"))))).toHaveLength(3);
  });

  test.each([
    ["truncated gzip", gzip.subarray(0, -20), "cannot be decompressed: unexpected end of file"],
    [
      "damaged gzip",
      Buffer.concat([gzip.subarray(0, 500), Buffer.alloc(500), gzip.subarray(1000)]),
      "cannot be decompressed",
    ],
    ["bzip2", Buffer.from("BZh91AY&SY"), "compressed with bzip2, which Node"],
    ["xz", Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0, 4]), "compressed with xz, which Node"],
    [
      "truncated zstd",
      zstd.subarray(0, 9),
      zstdCompressSync === undefined ? "Node 22.15 can" : "cannot be decompressed",
    ],
    [
      "zstd followed by other bytes",
      Buffer.concat([zstd, gzip]),
      zstdCompressSync === undefined ? "Node 22.15 can" : "cannot be decompressed",
    ],
  ])("but rejects %s", async (_name, blob, message) => {
    const source = stream(blob);
    const done = buffer(decompressLayer(source));
    await expect(done).rejects.toThrow(message);
    await expect(done).rejects.toBeInstanceOf(InvalidImage);
    expect(source.destroyed).toBe(true);
  });

  test.each(["application/vnd.in-toto+json", `${MEDIA_TYPE.ociLayerGzip}+encrypted`, "text/plain"])(
    "a blob of the media type %s is refused",
    async (mediaType) => {
      await expect(buffer(decompressLayer(stream(tar), mediaType))).rejects.toThrow("is not a tar");
    },
  );

  test.each([
    MEDIA_TYPE.ociLayer,
    MEDIA_TYPE.ociLayerGzip,
    MEDIA_TYPE.ociLayerZstd,
    MEDIA_TYPE.dockerLayerGzip,
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
  ])("of the media type %s with any compression, like engines", async (mediaType) => {
    expect((await buffer(decompressLayer(stream(gzip), mediaType))).equals(tar)).toBe(true);
  });

  test("and passes an error of the source on unchanged", async () => {
    const reset = new Error("read ECONNRESET");
    for (const start of [0, 4, 5000]) {
      const source = new Readable({ read() {} });
      if (start > 0) source.push(gzip.subarray(0, start));
      const done = buffer(decompressLayer(source));
      setImmediate(() => source.destroy(reset));
      await expect(done).rejects.toBe(reset);
    }
  });

  test("and destroys the source if the reader leaves the stream early", async () => {
    const { source, given } = counted(zlib.gzipSync(pseudoRandomBytes(3_000_000, 1)));
    for await (const _ of decompressLayer(source)) break;
    await expect.poll(() => source.destroyed).toBe(true);
    expect(given()).toBeLessThan(1_500_000);
  });
});
