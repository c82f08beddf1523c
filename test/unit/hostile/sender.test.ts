/** A sender, or a registry behind one, that lies to a receiver of ours. Nothing is put in, and the cache is empty again. */
import { brotliCompressSync, gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { digestOf } from "../../../src/image/digest.ts";
import { MEDIA_TYPE } from "../../../src/image/manifest.ts";
import { gzipped, makeImage, ociBlobs, plain, type Pack } from "../image/make-image.ts";
import { always, bytes, cutOff, endless, inBlocks, pullFrom, status, type Attack } from "./hostile-sender.ts";
import { refused, told } from "./run-program.ts";

const image = await makeImage([3000, 70_000]);
const other = await makeImage([50, 600]);
const config = JSON.parse(image.config.toString()) as { rootfs: object };
const [first = "", second = ""] = image.diffIds;
/** Of the image with its layers so packed, as it goes into a message. */
const manifestIn = (pack: Pack): string => ociBlobs(image, pack).manifest.bytes.toString("base64");
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const GB = 2 ** 30;

type Row = [name: string, attack: Attack, status: number, words: RegExp];

/** A block as packing/pack.ts frames it. */
function block(codec: number, size: number, content: Buffer, length = content.length): Buffer {
  const header = Buffer.alloc(9);
  header.writeUInt8(codec, 0);
  header.writeUInt32BE(length, 1);
  header.writeUInt32BE(size, 5);
  return Buffer.concat([header, content]);
}

/** 1 GB of a layer in 1 MB. */
const bomb: Pack = () => {
  const member = gzipSync(Buffer.alloc(GB / 64));
  return { blob: Buffer.concat(Array.from({ length: 64 }, () => member)), mediaType: MEDIA_TYPE.ociLayerGzip };
};
const truncated: Pack = (layer) => ({ blob: gzipSync(layer).subarray(0, -100), mediaType: MEDIA_TYPE.ociLayerGzip });
const called =
  (mediaType: string): Pack =>
  (blob) => ({ blob, mediaType });
const circle = (digest: string): Buffer =>
  json({
    schemaVersion: 2,
    manifests: [
      { mediaType: MEDIA_TYPE.ociIndex, digest, size: 300, platform: { os: "linux", architecture: "amd64" } },
    ],
  });
/** An index that leads to itself, which no digest allows; one within the other, which is as long as it is patient. */
const indexes: Buffer[] = [circle(`sha256:${"0".repeat(64)}`)];
for (let level = 0; level < 10; level++) indexes.push(circle(digestOf(indexes.at(-1) ?? "")));

const manifests: Row[] = [
  [
    "10,000 layers",
    { manifest: (m) => ({ ...m, layers: Array(10_000).fill(m.layers[0]) }) },
    12,
    /more than 1000 layers/,
  ],
  [
    "a layer too few",
    { manifest: (m) => ({ ...m, layers: m.layers.slice(1) }) },
    12,
    /manifest and its config have different numbers of layers/,
  ],
  [
    "a layer too many",
    { manifest: (m) => ({ ...m, layers: [...m.layers, ...m.layers] }) },
    12,
    /config have different numbers of layers/,
  ],
  ["without end", { answer: { manifest: endless } }, 12, /an answer of more than 4194304 bytes/],
  ["no JSON", { manifest: () => Buffer.from("<html>") }, 12, /its manifest is not JSON/],
  ["nothing", { manifest: () => Buffer.alloc(0) }, 12, /its manifest is not JSON/],
  ["nested lists", { manifest: () => Buffer.alloc(1_000_000, "[") }, 12, /its manifest is not JSON/],
  [
    "a digest that is a path",
    { configDescriptor: { digest: "sha256:../../../etc/passwd" } },
    12,
    /config is malformed/,
  ],
  [
    "an index that points at itself",
    { manifest: () => indexes[0] },
    12,
    /does not hold what it says: the manifest sha256:000/,
  ],
  [
    "an index in an index in an index",
    {
      manifest: () => indexes.at(-1),
      answer: {
        manifest: (response, honest, { url = "" }) =>
          void response.end(indexes.find((index) => url.endsWith(digestOf(index))) ?? honest),
      },
    },
    12,
    /an index of indexes/,
  ],
  [
    "an index of 10,000",
    { manifest: () => ({ manifests: Array.from({ length: 10_000 }, () => ({})) }) },
    12,
    /more than 1000 manifests/,
  ],
  [
    "an index for nobody",
    {
      manifest: (m) => ({
        manifests: Array.from({ length: 900 }, (_, index) => ({
          ...m.layers[0],
          platform: { os: `os${index}`.repeat(100), architecture: "amd64" },
        })),
      }),
    },
    3,
    /the image has no variant for linux\/amd64\n.{1,700}\n/,
  ],
  [
    "an index without platforms",
    { manifest: (m) => ({ manifests: m.layers }) },
    3,
    /the image has no variant for linux\/amd64/,
  ],
  [
    "layers of a type that is none",
    { manifest: (m) => ({ ...m, layers: m.layers.map((one) => ({ ...one, mediaType: "text/html" })) }) },
    12,
    /media type "text\/html", which is not a tar/,
  ],
];

const configs: Row[] = [
  ["1 GB announced", { configDescriptor: { size: GB } }, 12, /a blob of 1073741824 bytes where at most 8388608/],
  ["without end", { answer: { config: endless } }, 12, /more than \d+ bytes/],
  [
    "1 GB, and announced as that without end",
    { configDescriptor: { size: 8_000_000 }, answer: { config: endless } },
    12,
    /more than \d+ bytes/,
  ],
  [
    "a digest that lies",
    { answer: { config: bytes(other.config) } },
    12,
    /does not hold what it says: the blob sha256:/,
  ],
  ["a size that lies, too small", { configDescriptor: { size: 5 } }, 12, /does not hold what it says/],
  ["a size that lies, too large", { configDescriptor: { size: 5000 } }, 12, /does not hold what it says: the blob/],
  ["no JSON", { config: Buffer.from("{") }, 12, /its config is not JSON/],
  [
    "no platform",
    { config: json({ rootfs: config.rootfs }) },
    12,
    /its config is for unknown\/unknown, and linux\/amd64 was offered/,
  ],
  [
    "another architecture than was offered",
    { config: json({ ...config, architecture: "arm64" }) },
    12,
    /its config is for linux\/arm64, and linux\/amd64 was offered/,
  ],
  [
    "another system than was offered",
    { config: json({ ...config, os: "windows" }) },
    12,
    /its config is for windows\/amd64/,
  ],
  [
    "another variant than was offered",
    { config: json({ ...config, architecture: "arm", variant: "v7" }), about: { platform: "linux/arm/v6" } },
    12,
    /its config is for linux\/arm\/v7, and linux\/arm\/v6 was offered/,
  ],
  ["other layers than were offered", { config: other.config }, 12, /its config names other layers than were offered/],
  [
    "10,000 layers",
    { config: json({ ...config, rootfs: { diff_ids: Array(10_000).fill(first) } }) },
    12,
    /its config has no list of layers/,
  ],
];

const layers: Row[] = [
  [
    "bytes of another digest",
    { answer: { layer: (to, honest) => void to.end(Buffer.alloc(honest.length)) } },
    12,
    /a layer is not what it should be: /,
  ],
  [
    "another layer",
    { pack: (layer) => plain(layer === image.layers[0] ? (other.layers[0] ?? layer) : layer) },
    12,
    /has the digest sha256:/,
  ],
  [
    "less than was announced",
    { answer: { layer: (to, honest) => void to.end(honest.subarray(1)) } },
    12,
    /ends after \d+ of its \d+ bytes/,
  ],
  [
    "more than was announced",
    { answer: { layer: (to, honest) => void to.end(Buffer.concat([honest, honest])) } },
    12,
    /is larger than the \d+ bytes it should have/,
  ],
  ["a body without end", { answer: { layer: endless } }, 12, /a layer is not what it should be/],
  [
    "a plain body without end",
    { pack: plain, answer: { layer: endless } },
    12,
    /is larger than the \d+ bytes it should have/,
  ],
  ["gzip that is cut off", { pack: truncated }, 12, /cannot be decompressed: unexpected end of file/],
  [
    "gzip that is none",
    { pack: called(MEDIA_TYPE.ociLayerGzip), answer: { layer: bytes(Buffer.from("1f8b08ffff", "hex")) } },
    12,
    /a layer is not what it should be/,
  ],
  [
    "a packing that nobody has",
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
    "two that are too large together",
    { options: ["--max-size", "50k"] },
    13,
    /larger than the 51200 bytes that are allowed\n.*--max-size/,
  ],
  ["a plain type that is none", { pack: called("text/html") }, 12, /media type "text\/html", which is not a tar/],
  [
    "a type that cannot be unpacked",
    { pack: called("application/vnd.oci.image.layer.v1.tar+encrypted") },
    12,
    /tar\+encrypted", which is not a tar/,
  ],
];

const answers: Row[] = [
  ["wants another password", { answer: always(status(401)) }, 10, /did not give \/v2\/app\/.*: status 401/],
  ["knows nothing", { answer: { layer: status(404), manifest: status(404) } }, 10, /: status 404/],
  ["fails", { answer: always(status(500)) }, 10, /: status 500/],
  [
    "sends round in circles",
    { answer: always((to, _, { url = "" }) => void to.writeHead(302, { location: url }).end()) },
    10,
    /: status 302/,
  ],
  ["sends elsewhere", { answer: always(status(307, { location: "http://127.0.0.1:9/" })) }, 10, /: status 307/],
  [
    "speaks no HTTP",
    { connection: (stream) => void stream.end("SSH-2.0-OpenSSH_9.2\r\n") },
    10,
    /did not give \/v2\/app\/.*: Parse Error/,
  ],
  ["hangs up", { connection: (stream) => void stream.destroy() }, 10, /did not give|connection .* broke/],
  ["says nothing and ends", { connection: (stream) => void stream.end() }, 10, /did not give|connection .* broke/],
  [
    "has headers without end",
    { connection: (stream) => void stream.on("error", () => {}).write(`HTTP/1.1 200 OK\r\nx: ${"y".repeat(100_000)}`) },
    10,
    /Header overflow/i,
  ],
  ["breaks off in a manifest", { answer: { manifest: cutOff } }, 10, /did not give .*manifests.*: aborted/],
  ["breaks off in a config", { answer: { config: cutOff } }, 10, /did not give .*blobs.*: aborted/],
  ["breaks off in a layer", { answer: { layer: cutOff } }, 10, /the connection to the sending side's registry broke/],
  [
    "sends chunks that are none",
    { connection: (stream) => void stream.end("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzzz\r\n") },
    10,
    /did not give .*: (?:aborted|Parse Error)/,
  ],
];

const blocks: Row[] = [
  [
    "words",
    { pack: plain, answer: { layer: inBlocks(Buffer.from("no blocks at all, but words")) } },
    12,
    /a block of \d+ bytes in \d+/,
  ],
  [
    "cut off",
    { pack: plain, answer: { layer: inBlocks(block(0, 5, Buffer.from("12"), 5)) } },
    12,
    /it ends in the middle/,
  ],
  [
    "without their end",
    { pack: plain, answer: { layer: inBlocks(block(0, 2, Buffer.from("12"))) } },
    12,
    /it ends in the middle/,
  ],
  [
    "in a way that nobody knows",
    { pack: plain, answer: { layer: inBlocks(block(77, 2, Buffer.from("12")), block(255, 0, Buffer.alloc(0))) } },
    12,
    /unknown codec 77/,
  ],
  [
    "larger than they say",
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
    "smaller than they say",
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
    "something behind the end",
    { pack: plain, answer: { layer: inBlocks(block(255, 0, Buffer.alloc(0)), Buffer.from("more")) } },
    12,
    /bytes follow its end/,
  ],
];

const late: Row[] = [
  [
    "with a config for another platform",
    { about: { platform: "linux/s390x" } },
    12,
    /its config is for linux\/amd64, and linux\/s390x was offered/,
  ],
  ["with a config without end", { answer: { config: endless } }, 12, /more than \d+ bytes/],
  [
    "with other types in the manifest",
    { manifest: (m) => ({ ...m, layers: m.layers.map((one) => ({ ...one, mediaType: "text/html" })) }) },
    12,
    /media type "text\/html", which is not a tar/,
  ],
  ["breaks off", { answer: { manifest: cutOff } }, 10, /did not give \/v2\/app\/manifests.*: aborted/],
];

describe.concurrent("a registry that everything is asked of", () => {
  test.each(manifests)("with a manifest: %s", async (_, attack, status, words) =>
    expect(told(await pullFrom(image, attack, { manner: "registry" }))).toEqual(refused(status, words)),
  );
  test.each(configs)("with a config: %s", async (_, attack, status, words) =>
    expect(told(await pullFrom(image, attack, { manner: "registry" }))).toEqual(refused(status, words)),
  );
  test.each(answers)("that %s", async (_, attack, status, words) =>
    expect(told(await pullFrom(image, attack, { manner: "registry" }))).toEqual(refused(status, words)),
  );
});

describe.concurrent("a sender that announces its layers", () => {
  test.each(layers)("with a layer: %s", async (_, attack, status, words) =>
    expect(told(await pullFrom(image, attack))).toEqual(refused(status, words)),
  );
  test.each(blocks)("with blocks: %s", async (_, attack, status, words) =>
    expect(told(await pullFrom(image, attack))).toEqual(refused(status, words)),
  );
  // Its layers have come by then.
  test.each(late)("in the end, %s", async (_, attack, status, words) =>
    expect(told(await pullFrom(image, attack))).toEqual(refused(status, words)),
  );
});

describe.concurrent("messages that lie", () => {
  test.each<Row>([
    [
      "about: 10,000 layers",
      { about: { diffIds: Array(10_000).fill(first) } },
      1,
      /broke the protocol: a malformed list/,
    ],
    [
      "about: layers in another order",
      { about: { diffIds: [second, first] } },
      12,
      /its config names other layers than were offered/,
    ],
    ["about: a layer less", { about: { diffIds: [first] } }, 12, /its config names other layers than were offered/],
    [
      "about: not the platform that was asked for",
      { options: ["--platform", "linux/arm64"] },
      13,
      /sends the image for linux\/amd64, not for linux\/arm64/,
    ],
    [
      "about: the platform that was asked for, and a config for another",
      { options: ["--platform", "linux/arm64"], about: { platform: "linux/arm64" } },
      12,
      /its config is for linux\/amd64, and linux\/arm64 was offered/,
    ],
    ["about: no manifest", { about: { manifest: "e30=" } }, 1, /a malformed manifest/],
    [
      "about: another manifest than is offered",
      {
        about: { manifest: manifestIn(gzipped) },
        manifest: (honest) => ({ ...honest, annotations: { another: "1" } }),
      },
      12,
      /its manifest is not the one that was announced/,
    ],
    [
      "about: a manifest, and layers that are not as it names them",
      { about: { manifest: manifestIn(plain) }, manifest: () => ociBlobs(image, plain).manifest.bytes },
      12,
      /the layer sha256:[0-9a-f]{64} is sent as another blob than its manifest names/,
    ],
    ["offer: a repository that is a path", { offer: { repository: "../../etc" } }, 1, /a malformed name/],
    ["offer: no password", { offer: { credentials: null } }, 1, /a malformed text/],
    [
      "layer: twice",
      { announce: ([one, ...rest]) => [one ?? {}, one ?? {}, ...rest] },
      1,
      /a malformed layer, which was not wanted/,
    ],
    [
      "layer: not asked for",
      { announce: ([one]) => [{ ...one, diffId: other.diffIds[0] }] },
      1,
      /which was not wanted/,
    ],
    [
      "layer: more than there are",
      { announce: (all) => [...all.slice(1), ...Array.from({ length: 10_000 }, () => all[1] ?? {})] },
      1,
      /which was not wanted/,
    ],
    ["layer: a size below nothing", { announce: ([one]) => [{ ...one, size: -1 }] }, 1, /a malformed number/],
    [
      "layer: larger than any disk",
      { announce: ([one]) => [{ ...one, size: 2 ** 50 }] },
      11,
      /no room for a layer of 1\.1 PB/,
    ],
    [
      "layer: larger than it may be",
      { announce: ([one]) => [{ ...one, size: GB }], options: ["--max-size", "500m"] },
      13,
      /larger than the 524288000 bytes/,
    ],
    [
      "layer: a digest that lies",
      { announce: ([one, two]) => [{ ...one, digest: two?.digest }] },
      12,
      /a layer is not what it should be/,
    ],
    [
      "layer: a media type of two lines",
      { announce: ([one]) => [{ ...one, mediaType: "a\r\nb" }] },
      1,
      /a malformed name/,
    ],
  ])("%s", async (_, attack, status, words) =>
    expect(told(await pullFrom(image, attack))).toEqual(refused(status, words)),
  );
});

describe.concurrent.each(["docker-archive:app.tar", "oci-archive:oci.tar", "oci:new"])("into %s", (to) => {
  test.each<Row>([
    [
      "a layer of another digest",
      { answer: { layer: (response, honest) => void response.end(Buffer.alloc(honest.length)) } },
      12,
      /a layer is not what it should be/,
    ],
    ["a config's size that lies", { configDescriptor: { size: 5 } }, 12, /does not hold what it says/],
    ["a plain type that is none", { pack: called("text/html") }, 12, /which is not a tar/],
  ])("%s", async (_, attack, status, words) =>
    expect(told(await pullFrom(image, attack, { to }))).toEqual(refused(status, words)),
  );
});

test("without a --max-size, a zip bomb costs time and no memory", async () => {
  const ended = await pullFrom(image, { pack: bomb });
  expect(told(ended)).toEqual(refused(12, /the uncompressed layer .* has the digest/));
  expect(ended.changed).toEqual([]);
});
