/** A hostile sender of layers. The receiver loads nothing, and its cache folder is empty afterwards. */
import { brotliCompressSync, gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { MEDIA_TYPE } from "../../../src/image/manifest.ts";
import { plain, type Pack } from "../image/make-image.ts";
import { bomb, GB, image, other, withMediaType, type Row } from "./attacks.ts";
import { bytes, cutOff, endless, inBlocks, pullFrom } from "./hostile-sender.ts";
import { outcome, refused } from "./run-program.ts";

const truncated: Pack = (layer) => ({ blob: gzipSync(layer).subarray(0, -100), mediaType: MEDIA_TYPE.ociLayerGzip });
/** Returns a block framed as in packing/pack.ts. */
function block(codec: number, size: number, content: Buffer, length = content.length): Buffer {
  const header = Buffer.alloc(9);
  header.writeUInt8(codec, 0);
  header.writeUInt32BE(length, 1);
  header.writeUInt32BE(size, 5);
  return Buffer.concat([header, content]);
}

const layers: Row[] = [
  [
    "bytes of another digest",
    { answer: { layer: (to, honest) => void to.end(Buffer.alloc(honest.length)) } },
    12,
    /a layer failed verification: /,
  ],
  [
    "another layer",
    { pack: (layer) => plain(layer === image.layers[0] ? (other.layers[0] ?? layer) : layer) },
    12,
    /has the digest sha256:/,
  ],
  [
    "fewer bytes than announced",
    { answer: { layer: (to, honest) => void to.end(honest.subarray(1)) } },
    12,
    /ends after \d+ of its \d+ bytes/,
  ],
  [
    "more bytes than announced",
    { answer: { layer: (to, honest) => void to.end(Buffer.concat([honest, honest])) } },
    12,
    /is larger than the \d+ bytes it should have/,
  ],
  ["an endless body", { answer: { layer: endless } }, 12, /a layer failed verification/],
  [
    "an endless plain body",
    { pack: plain, answer: { layer: endless } },
    12,
    /is larger than the \d+ bytes it should have/,
  ],
  ["truncated gzip", { pack: truncated }, 12, /cannot be decompressed: unexpected end of file/],
  [
    "invalid gzip",
    { pack: withMediaType(MEDIA_TYPE.ociLayerGzip), answer: { layer: bytes(Buffer.from("1f8b08ffff", "hex")) } },
    12,
    /a layer failed verification/,
  ],
  [
    "an unsupported compression",
    { pack: () => ({ blob: Buffer.from("BZh91AY&SY"), mediaType: MEDIA_TYPE.ociLayerGzip }) },
    12,
    /compressed with bzip2, which Node .* cannot decompress/,
  ],
  [
    "a zip bomb",
    { pack: bomb, options: ["--max-size", "100m"] },
    13,
    /refuses this image: its layers are larger than the 104857600 bytes/,
  ],
  [
    "two layers that are too large together",
    { options: ["--max-size", "50k"] },
    13,
    /larger than the 51200 bytes that are allowed\n.*--max-size/,
  ],
  ["an invalid media type", { pack: withMediaType("text/html") }, 12, /media type "text\/html", which is not a tar/],
  [
    "a media type of encrypted layers",
    { pack: withMediaType("application/vnd.oci.image.layer.v1.tar+encrypted") },
    12,
    /tar\+encrypted", which is not a tar/,
  ],
];

const blocks: Row[] = [
  [
    "that are text",
    { pack: plain, answer: { layer: inBlocks(Buffer.from("text in place of blocks")) } },
    12,
    /a block of \d+ bytes in \d+/,
  ],
  [
    "that are truncated",
    { pack: plain, answer: { layer: inBlocks(block(0, 5, Buffer.from("12"), 5)) } },
    12,
    /it ends in the middle/,
  ],
  [
    "without an end block",
    { pack: plain, answer: { layer: inBlocks(block(0, 2, Buffer.from("12"))) } },
    12,
    /it ends in the middle/,
  ],
  [
    "with an unknown codec",
    { pack: plain, answer: { layer: inBlocks(block(77, 2, Buffer.from("12")), block(255, 0, Buffer.alloc(0))) } },
    12,
    /unknown codec 77/,
  ],
  [
    "larger than announced",
    {
      pack: plain,
      answer: {
        layer: inBlocks(block(1, 100, brotliCompressSync(Buffer.alloc(GB / 16))), block(255, 0, Buffer.alloc(0))),
      },
    },
    12,
    /a block cannot be unpacked/,
  ],
  [
    "smaller than announced",
    { pack: plain, answer: { layer: inBlocks(block(0, 100, Buffer.from("12")), block(255, 0, Buffer.alloc(0))) } },
    12,
    /a block has 2 bytes, not 100/,
  ],
  [
    "of 4 GB",
    { pack: plain, answer: { layer: inBlocks(block(0, 0xffff_ffff, Buffer.from("12"), 0xffff_ffff)) } },
    12,
    /a block of 4294967295 bytes in 4294967295/,
  ],
  [
    "with bytes behind the end block",
    { pack: plain, answer: { layer: inBlocks(block(255, 0, Buffer.alloc(0)), Buffer.from("more")) } },
    12,
    /bytes follow its end/,
  ],
];

const lastMessages: Row[] = [
  [
    "with a config for another platform",
    { about: { platform: "linux/s390x" } },
    12,
    /its config is for linux\/amd64, and linux\/s390x was offered/,
  ],
  ["with an endless config", { answer: { config: endless } }, 12, /more than \d+ bytes/],
  [
    "with other media types in the manifest",
    { manifest: (m) => ({ ...m, layers: m.layers.map((one) => ({ ...one, mediaType: "text/html" })) }) },
    12,
    /media type "text\/html", which is not a tar/,
  ],
  ["breaks off", { answer: { manifest: cutOff } }, 10, /did not return \/v2\/app\/manifests.*: aborted/],
];

describe.concurrent("a sender that announces its layers", () => {
  test.each(layers)("with a layer: %s", async (_, attack, status, message) =>
    expect(outcome(await pullFrom(image, attack))).toEqual(refused(status, message)),
  );
  test.each(blocks)("with blocks: %s", async (_, attack, status, message) =>
    expect(outcome(await pullFrom(image, attack))).toEqual(refused(status, message)),
  );
  // All layers have been received at this point.
  test.each(lastMessages)("after the layers, %s", async (_, attack, status, message) =>
    expect(outcome(await pullFrom(image, attack))).toEqual(refused(status, message)),
  );
});

describe.concurrent.each(["docker-archive:app.tar", "oci-archive:oci.tar", "oci:new"])("into %s", (to) => {
  test.each<Row>([
    [
      "a layer of another digest",
      { answer: { layer: (response, honest) => void response.end(Buffer.alloc(honest.length)) } },
      12,
      /a layer failed verification/,
    ],
    ["a wrong size of the config", { configDescriptor: { size: 5 } }, 12, /registry sent invalid content/],
    ["an invalid media type", { pack: withMediaType("text/html") }, 12, /which is not a tar/],
  ])("%s", async (_, attack, status, message) =>
    expect(outcome(await pullFrom(image, attack, { to }))).toEqual(refused(status, message)),
  );
});

test("a zip bomb takes time, but no memory, without --max-size", async () => {
  const ended = await pullFrom(image, { pack: bomb });
  expect(outcome(ended)).toEqual(refused(12, /the uncompressed layer .* has the digest/));
  expect(ended.changed).toEqual([]);
});
