/** A hostile registry that serves the whole image. The receiver loads nothing, and its cache folder is empty afterwards. */
import { describe, expect, test } from "vitest";
import { digestOf } from "../../../src/image/digest.ts";
import { MEDIA_TYPE } from "../../../src/image/manifest.ts";
import { bytes, always, cutOff, endless, pullFrom, status } from "./hostile-sender.ts";
import { GB, image, other, type Row } from "./attacks.ts";
import { outcome, refused } from "./run-program.ts";

const config = JSON.parse(image.config.toString()) as { rootfs: object };
const [first = ""] = image.diffIds;
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const indexNaming = (digest: string): Buffer =>
  json({
    schemaVersion: 2,
    manifests: [
      { mediaType: MEDIA_TYPE.ociIndex, digest, size: 300, platform: { os: "linux", architecture: "amd64" } },
    ],
  });
/** Answers first with an index that names itself, with a wrong digest, and then with nested indexes. */
const indexes: Buffer[] = [indexNaming(`sha256:${"0".repeat(64)}`)];
for (let level = 0; level < 10; level++) indexes.push(indexNaming(digestOf(indexes.at(-1) ?? "")));

const manifests: Row[] = [
  [
    "10,000 layers",
    { manifest: (m) => ({ ...m, layers: Array(10_000).fill(m.layers[0]) }) },
    12,
    /more than 1000 layers/,
  ],
  [
    "a missing layer",
    { manifest: (m) => ({ ...m, layers: m.layers.slice(1) }) },
    12,
    /manifest and its config have different numbers of layers/,
  ],
  [
    "too many layers",
    { manifest: (m) => ({ ...m, layers: [...m.layers, ...m.layers] }) },
    12,
    /config have different numbers of layers/,
  ],
  ["an endless body", { answer: { manifest: endless } }, 12, /an answer of more than 4194304 bytes/],
  ["no JSON", { manifest: () => Buffer.from("<html>") }, 12, /its manifest is not JSON/],
  ["an empty body", { manifest: () => Buffer.alloc(0) }, 12, /its manifest is not JSON/],
  ["nested lists", { manifest: () => Buffer.alloc(1_000_000, "[") }, 12, /its manifest is not JSON/],
  [
    "a digest that is a path",
    { configDescriptor: { digest: "sha256:../../../etc/passwd" } },
    12,
    /config is malformed/,
  ],
  [
    "an index that names itself",
    { manifest: () => indexes[0] },
    12,
    /registry sent invalid content: the manifest sha256:000/,
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
    "an index for other platforms",
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
    "layers with an invalid media type",
    { manifest: (m) => ({ ...m, layers: m.layers.map((one) => ({ ...one, mediaType: "text/html" })) }) },
    12,
    /media type "text\/html", which is not a tar/,
  ],
];

const configs: Row[] = [
  [
    "an announced size of 1 GB",
    { configDescriptor: { size: GB } },
    12,
    /a blob of 1073741824 bytes where at most 8388608/,
  ],
  ["an endless body", { answer: { config: endless } }, 12, /more than \d+ bytes/],
  [
    "an announced size of 8 MB, and an endless body",
    { configDescriptor: { size: 8_000_000 }, answer: { config: endless } },
    12,
    /more than \d+ bytes/,
  ],
  [
    "a wrong digest",
    { answer: { config: bytes(other.config) } },
    12,
    /registry sent invalid content: the blob sha256:/,
  ],
  ["a size that is less than its own", { configDescriptor: { size: 5 } }, 12, /registry sent invalid content/],
  ["a size that exceeds its own", { configDescriptor: { size: 5000 } }, 12, /registry sent invalid content: the blob/],
  ["no JSON", { config: Buffer.from("{") }, 12, /its config is not JSON/],
  [
    "no platform",
    { config: json({ rootfs: config.rootfs }) },
    12,
    /its config is for unknown\/unknown, and linux\/amd64 was offered/,
  ],
  [
    "another architecture than offered",
    { config: json({ ...config, architecture: "arm64" }) },
    12,
    /its config is for linux\/arm64, and linux\/amd64 was offered/,
  ],
  [
    "another operating system than offered",
    { config: json({ ...config, os: "windows" }) },
    12,
    /its config is for windows\/amd64/,
  ],
  [
    "another variant than offered",
    { config: json({ ...config, architecture: "arm", variant: "v7" }), about: { platform: "linux/arm/v6" } },
    12,
    /its config is for linux\/arm\/v7, and linux\/arm\/v6 was offered/,
  ],
  ["other layers than offered", { config: other.config }, 12, /its config names other layers than were offered/],
  [
    "10,000 layers",
    { config: json({ ...config, rootfs: { diff_ids: Array(10_000).fill(first) } }) },
    12,
    /its config has no list of layers/,
  ],
];

const answers: Row[] = [
  ["asks for another password", { answer: always(status(401)) }, 10, /did not return \/v2\/app\/.*: status 401/],
  ["answers 404", { answer: { layer: status(404), manifest: status(404) } }, 10, /: status 404/],
  ["answers 500", { answer: always(status(500)) }, 10, /: status 500/],
  [
    "redirects to itself",
    { answer: always((to, _, { url = "" }) => void to.writeHead(302, { location: url }).end()) },
    10,
    /: status 302/,
  ],
  ["redirects elsewhere", { answer: always(status(307, { location: "http://127.0.0.1:9/" })) }, 10, /: status 307/],
  [
    "speaks no HTTP",
    { connection: (stream) => void stream.end("SSH-2.0-OpenSSH_9.2\r\n") },
    10,
    /did not return \/v2\/app\/.*: Parse Error/,
  ],
  ["hangs up", { connection: (stream) => void stream.destroy() }, 10, /did not return|connection .* broke/],
  ["ends without a response", { connection: (stream) => void stream.end() }, 10, /did not return|connection .* broke/],
  [
    "sends endless headers",
    { connection: (stream) => void stream.on("error", () => {}).write(`HTTP/1.1 200 OK\r\nx: ${"y".repeat(100_000)}`) },
    10,
    /Header overflow/i,
  ],
  ["breaks off in a manifest", { answer: { manifest: cutOff } }, 10, /did not return .*manifests.*: aborted/],
  ["breaks off in a config", { answer: { config: cutOff } }, 10, /did not return .*blobs.*: aborted/],
  ["breaks off in a layer", { answer: { layer: cutOff } }, 10, /the connection to the sending side's registry broke/],
  [
    "sends invalid chunks",
    { connection: (stream) => void stream.end("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzzz\r\n") },
    10,
    /did not return .*: (?:aborted|Parse Error)/,
  ],
];

describe.concurrent("a registry that serves the whole image,", () => {
  test.each(manifests)("with a manifest: %s", async (_, attack, status, message) =>
    expect(outcome(await pullFrom(image, attack, { manner: "registry" }))).toEqual(refused(status, message)),
  );
  test.each(configs)("with a config: %s", async (_, attack, status, message) =>
    expect(outcome(await pullFrom(image, attack, { manner: "registry" }))).toEqual(refused(status, message)),
  );
  test.each(answers)("that %s", async (_, attack, status, message) =>
    expect(outcome(await pullFrom(image, attack, { manner: "registry" }))).toEqual(refused(status, message)),
  );
});
