import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import * as zlib from "node:zlib";
import { describe, expect, test } from "vitest";
import { verifyLayer, type LayerToVerify } from "../../../../src/image/layer/verify-layer.ts";
import { decompressLayer } from "../../../../src/image/layer/decompress-layer.ts";
import { verifiedStream } from "../../../../src/image/layer/verified-stream.ts";
import { sizeLimit } from "../../../../src/image/layer/size-limit.ts";
import { InvalidImage } from "../../../../src/image/invalid-image.ts";
import { digestOf } from "../../../../src/image/digest.ts";
import { MEDIA_TYPE } from "../../../../src/image/manifest.ts";
import { makeTar } from "../tar/make-tar.ts";
import { chopped, pseudoRandomBytes } from "../../pseudo-random.ts";

const { zstdCompressSync } = zlib as { zstdCompressSync?: (bytes: Buffer) => Buffer };
const tar = await makeTar([{ name: "file", content: pseudoRandomBytes(100_000, 1) }]);
const gzip = zlib.gzipSync(tar);
/** As written by pigz and estargz. */
const twoMembers = Buffer.concat([zlib.gzipSync(tar.subarray(0, 40_000)), zlib.gzipSync(tar.subarray(40_000))]);
/** The output of `zstd -1` for a few letters. */
const zstd = Buffer.from("28b52ffd044841000061206c617965720aff5c4f24", "hex");

function stream(bytes: Buffer, seed = 1, largest = 20_000): Readable {
  return Readable.from(chopped(bytes, seed, largest), { objectMode: false });
}

/** Returns a stream that counts the bytes read from it. */
const counted = (bytes: Buffer): { source: Readable; given: () => number } => {
  let given = 0;
  const pieces = function* (): Generator<Buffer> {
    for (const piece of chopped(bytes, 1, 2000)) {
      given += piece.length;
      yield piece;
    }
  };
  return { source: Readable.from(pieces(), { objectMode: false }), given: () => given };
};

const compressed: [string, Buffer][] = [
  ["plain", tar],
  ["gzip", gzip],
  ["gzip of several members", twoMembers],
  ...(zstdCompressSync === undefined ? [] : zstdForms(zstdCompressSync)),
];

/** As written by buildx, pzstd and Podman's zstd:chunked: with skippable frames (RFC 8878, section 3.1.2). */
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

describe("a layer is decompressed", () => {
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
  ])("%s is refused", async (_name, blob, message) => {
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
  ])("a layer of the media type %s may have any compression, as for engines", async (mediaType) => {
    expect((await buffer(decompressLayer(stream(gzip), mediaType))).equals(tar)).toBe(true);
  });

  test("an error of the source is passed on unchanged", async () => {
    const reset = new Error("read ECONNRESET");
    for (const start of [0, 4, 5000]) {
      const source = new Readable({ read() {} });
      if (start > 0) source.push(gzip.subarray(0, start));
      const done = buffer(decompressLayer(source));
      setImmediate(() => source.destroy(reset));
      await expect(done).rejects.toBe(reset);
    }
  });

  test("leaving the stream early destroys the source", async () => {
    const { source, given } = counted(zlib.gzipSync(pseudoRandomBytes(3_000_000, 1)));
    for await (const _ of decompressLayer(source)) break;
    await expect.poll(() => source.destroyed).toBe(true);
    expect(given()).toBeLessThan(1_500_000);
  });
});

describe("a layer is verified while it passes", () => {
  const blob = { mediaType: MEDIA_TYPE.ociLayerGzip, digest: digestOf(gzip), size: gzip.length };
  const check = async (bytes: Buffer, layer: LayerToVerify, seed = 1, largest = 5000): Promise<Buffer> => {
    const checked = verifyLayer(layer);
    const [all] = await Promise.all([buffer(checked), pipeline(stream(bytes, seed, largest), checked)]);
    return all;
  };

  test("and passes unchanged", async () => {
    for (let seed = 1; seed <= 5; seed += 1) {
      const bytes = await check(gzip, { blob, diffId: digestOf(tar) }, seed, 10 ** seed);
      expect(bytes.equals(gzip)).toBe(true);
    }
    expect((await check(tar, { blob: { digest: digestOf(tar) }, diffId: digestOf(tar) })).equals(tar)).toBe(true);
    expect((await check(tar, { blob: {}, diffId: digestOf(tar), limit: sizeLimit(tar.length) })).equals(tar)).toBe(
      true,
    );
  });

  test.each([
    [
      "another digest",
      gzip,
      { blob: { ...blob, digest: digestOf("x") }, diffId: digestOf(tar) },
      /layer sha256:.* has the digest sha256:/,
    ],
    ["another diff ID", gzip, { blob, diffId: digestOf("x") }, /uncompressed layer sha256:.* has the digest sha256:/],
    [
      "a size too small",
      gzip,
      { blob: { ...blob, size: 5000 }, diffId: digestOf(tar) },
      "is larger than the 5000 bytes it should have",
    ],
    [
      "a size too large",
      gzip,
      { blob: { ...blob, size: gzip.length + 1 }, diffId: digestOf(tar) },
      `ends after ${gzip.length} of its`,
    ],
    ["truncated", gzip.subarray(0, 9000), { blob, diffId: digestOf(tar) }, "ends after 9000 of its"],
    [
      "uncompressed, another diff ID",
      tar,
      { blob: { digest: digestOf("x") }, diffId: digestOf("x") },
      /has the digest sha256:/,
    ],
    [
      "compressed, declared as uncompressed",
      gzip,
      { blob: { digest: digestOf(tar) }, diffId: digestOf(tar) },
      /has the digest sha256:/,
    ],
    ["nothing", Buffer.alloc(0), { blob: {}, diffId: digestOf(tar) }, "has the digest"],
    [
      "not gzip after all",
      Buffer.concat([gzip.subarray(0, 10), tar]),
      { blob: {}, diffId: digestOf(tar) },
      "cannot be decompressed",
    ],
  ])("%s is refused", async (_name, bytes, layer, message) => {
    const done = check(bytes, layer);
    await expect(done).rejects.toThrow(message);
    await expect(done).rejects.toBeInstanceOf(InvalidImage);
  });

  test.each([
    ["uncompressed", tar, { blob: { digest: digestOf(tar) }, diffId: digestOf(tar) }],
    ["compressed", gzip, { blob, diffId: digestOf(tar) }],
  ])("%s, it counts against the size limit of all layers", async (_name, bytes, layer) => {
    const limit = sizeLimit(tar.length * 2 - 1);
    expect((await check(bytes, { ...layer, limit })).equals(bytes)).toBe(true);
    await expect(check(bytes, { ...layer, limit })).rejects.toThrow(
      `larger than the ${tar.length * 2 - 1} bytes that are allowed`,
    );
  });

  test("compressed, it also counts as stored: gzip may have empty members", async () => {
    const nothing = zlib.gzipSync(Buffer.alloc(0));
    const stored = Buffer.concat([gzip, ...Array.from({ length: 700_000 / nothing.length }, () => nothing)]);
    const layer = { blob: { digest: digestOf(stored) }, diffId: digestOf(tar), limit: sizeLimit(300_000) };
    expect((await check(stored, layer)).equals(stored)).toBe(true);
    await expect(check(stored, layer)).rejects.toThrow("larger than the 300000 bytes that are allowed");
  });

  test("a zip bomb is refused long before its end", async () => {
    const member = zlib.gzipSync(Buffer.alloc(200 * 1024 * 1024), { level: 1 }); // 0.9 MB
    const bomb = Buffer.concat([member, member, member, member]);
    const { source, given } = counted(bomb);
    const layer = verifyLayer({ blob: {}, diffId: digestOf(tar), limit: sizeLimit(1_000_000) });
    const done = pipeline(source, layer, async (all) => void (await buffer(all)));
    await expect(done).rejects.toThrow("larger than the 1000000 bytes");
    expect(given()).toBeLessThan(bomb.length / 4);
  });

  test("no more is taken than is read", async () => {
    const large = pseudoRandomBytes(2_000_000, 1);
    const { source, given } = counted(large);
    const checked = verifyLayer({ blob: {}, diffId: digestOf(large) });
    const done = pipeline(source, checked);
    await new Promise((resolve) => checked.once("readable", resolve));
    for (let turn = 0; turn < 200; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(given()).toBeLessThan(1_000_000);
    await Promise.all([buffer(checked), done]);
    expect(given()).toBe(large.length);
  });

  test("given up in the middle, it lets go of everything", async () => {
    const checked = verifyLayer({ blob, diffId: digestOf(tar) });
    const source = new Readable({ read() {} });
    source.push(gzip.subarray(0, 9000));
    const done = pipeline(source, checked, async (all) => void (await buffer(all)));
    const interrupted = new Error("interrupted");
    setImmediate(() => checked.destroy(interrupted));
    await expect(done).rejects.toBe(interrupted);
    expect(source.destroyed).toBe(true);
  });
});

test("bytes are proven as they pass", async () => {
  const expected = { what: "it", digest: digestOf(tar), size: tar.length };
  expect((await buffer(verifiedStream(stream(tar), expected))).equals(tar)).toBe(true);
  await expect(buffer(verifiedStream(stream(tar), { ...expected, digest: digestOf("x") }))).rejects.toThrow(
    "it has the digest",
  );
  await expect(buffer(verifiedStream(stream(tar), { ...expected, limit: sizeLimit(10) }))).rejects.toThrow(
    "larger than the 10 bytes that are allowed",
  );
});
