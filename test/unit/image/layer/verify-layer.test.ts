import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import * as zlib from "node:zlib";
import { describe, expect, test } from "vitest";
import { verifyLayer, type LayerToVerify } from "../../../../src/image/layer/verify-layer.ts";
import { verifiedStream } from "../../../../src/image/layer/verified-stream.ts";
import { sizeLimit } from "../../../../src/image/layer/size-limit.ts";
import { InvalidImage } from "../../../../src/image/invalid-image.ts";
import { digestOf } from "../../../../src/image/digest.ts";
import { MEDIA_TYPE } from "../../../../src/image/manifest.ts";
import { makeTar } from "../tar/make-tar.ts";
import { pseudoRandomBytes } from "../../pseudo-random.ts";
import { counted, stream } from "./streams.ts";

const tar = await makeTar([{ name: "file", content: pseudoRandomBytes(100_000, 1) }]);
const gzip = zlib.gzipSync(tar);
describe("verifies a layer while it passes", () => {
  const blob = { mediaType: MEDIA_TYPE.ociLayerGzip, digest: digestOf(gzip), size: gzip.length };
  const check = async (bytes: Buffer, layer: LayerToVerify, seed = 1, largest = 5000): Promise<Buffer> => {
    const checked = verifyLayer(layer);
    const [all] = await Promise.all([buffer(checked), pipeline(stream(bytes, seed, largest), checked)]);
    return all;
  };

  test("and passes it on unchanged", async () => {
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
  ])("and rejects %s", async (_name, bytes, layer, message) => {
    const done = check(bytes, layer);
    await expect(done).rejects.toThrow(message);
    await expect(done).rejects.toBeInstanceOf(InvalidImage);
  });

  test.each([
    ["uncompressed", tar, { blob: { digest: digestOf(tar) }, diffId: digestOf(tar) }],
    ["compressed", gzip, { blob, diffId: digestOf(tar) }],
  ])("%s: counts it against the size limit of all layers", async (_name, bytes, layer) => {
    const limit = sizeLimit(tar.length * 2 - 1);
    expect((await check(bytes, { ...layer, limit })).equals(bytes)).toBe(true);
    await expect(check(bytes, { ...layer, limit })).rejects.toThrow(
      `larger than the ${tar.length * 2 - 1} bytes that are allowed`,
    );
  });

  test("compressed: also counts its stored size, because gzip may have empty members", async () => {
    const nothing = zlib.gzipSync(Buffer.alloc(0));
    const stored = Buffer.concat([gzip, ...Array.from({ length: 700_000 / nothing.length }, () => nothing)]);
    const layer = { blob: { digest: digestOf(stored) }, diffId: digestOf(tar), limit: sizeLimit(300_000) };
    expect((await check(stored, layer)).equals(stored)).toBe(true);
    await expect(check(stored, layer)).rejects.toThrow("larger than the 300000 bytes that are allowed");
  });

  test("and rejects a zip bomb long before its end", async () => {
    const member = zlib.gzipSync(Buffer.alloc(200 * 1024 * 1024), { level: 1 }); // 0.9 MB
    const bomb = Buffer.concat([member, member, member, member]);
    const { source, given } = counted(bomb);
    const layer = verifyLayer({ blob: {}, diffId: digestOf(tar), limit: sizeLimit(1_000_000) });
    const done = pipeline(source, layer, async (all) => void (await buffer(all)));
    await expect(done).rejects.toThrow("larger than the 1000000 bytes");
    expect(given()).toBeLessThan(bomb.length / 4);
  });

  test("without reading ahead of its reader", async () => {
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

  test("and destroys its source if it is destroyed in the middle", async () => {
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

test("verifies a stream while it passes", async () => {
  const expected = { what: "it", digest: digestOf(tar), size: tar.length };
  expect((await buffer(verifiedStream(stream(tar), expected))).equals(tar)).toBe(true);
  await expect(buffer(verifiedStream(stream(tar), { ...expected, digest: digestOf("x") }))).rejects.toThrow(
    "it has the digest",
  );
  await expect(buffer(verifiedStream(stream(tar), { ...expected, limit: sizeLimit(10) }))).rejects.toThrow(
    "larger than the 10 bytes that are allowed",
  );
});
