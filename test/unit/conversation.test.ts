import { describe, expect, test } from "vitest";
import { manifestText } from "../../src/conversation/fields.ts";
import { askMessage, parseAsk } from "../../src/conversation/ask.ts";
import {
  parseAbout,
  layerMessage,
  parseLayer,
  offerMessage,
  parseOffer,
  parseResult,
  resultMessage,
  parseWant,
  wantMessage,
} from "../../src/conversation/messages.ts";
import { imagesMessage, parseImages } from "../../src/conversation/images.ts";
import { newRunId } from "../../src/run/run-id.ts";
import { MEDIA_TYPE, parseImageManifest } from "../../src/image/manifest.ts";
import { asPlatform } from "./image/platforms.ts";

const DIGEST = `sha256:${"0a".repeat(32)}`;
const run = newRunId();
const ask = { type: "ask", image: "app", run, keepsManifests: true, preserve: true };
const offer = {
  type: "offer",
  repository: "docker-over-ssh/library/app",
  tag: `${run}.${run}`,
  announced: true,
  credentials: { username: "u", password: "p" },
};
const layer = {
  type: "layer",
  diffId: DIGEST,
  digest: DIGEST,
  mediaType: "application/x.layer+gzip",
  size: 5,
  pieces: "too",
};
const about = { type: "about", diffIds: [DIGEST], platform: "linux/arm64/v8", configDigest: DIGEST };
const blob = { mediaType: MEDIA_TYPE.ociLayerGzip, digest: DIGEST, size: 5 };
const manifest = { mediaType: MEDIA_TYPE.dockerManifest, config: blob, layers: [blob] };
const asText = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64");
const want = {
  type: "want",
  diffIds: [DIGEST],
  whole: false,
  nothing: false,
  codecs: ["brotli"],
  delta: true,
  begun: [DIGEST],
};
const result = {
  type: "result",
  image: "app",
  id: DIGEST,
  layersSent: 1,
  layersPresent: 2,
  bytesPresent: 3,
  bytesFound: 5,
  bytesReceived: 4,
};

test("parses valid messages, and drops unknown fields", () => {
  expect(askMessage(parseAsk({ ...ask, extra: 1 }))).toEqual(ask);
  expect(offerMessage(parseOffer({ ...offer, extra: 1 }))).toEqual(offer);
  const unread = { ...offer, announced: false, unread: true };
  expect(offerMessage(parseOffer(unread))).toEqual(unread);
  const platform = asPlatform("linux/arm64/v8");
  expect({ type: "about", ...parseAbout({ ...about, extra: 1 }) }).toEqual({ ...about, platform });
  const kept = parseImageManifest(Buffer.from(` ${JSON.stringify(manifest)}\n`));
  const keeping = { ...about, preserve: true, manifest: manifestText(kept) };
  expect({ type: "about", ...parseAbout({ ...keeping, extra: 1 }) }).toEqual({ ...keeping, platform, manifest: kept });
  const layers = { kind: "layers", diffIds: [DIGEST], codecs: ["brotli"], delta: true, begun: [DIGEST] };
  expect(parseWant({ ...want, extra: 1 })).toEqual(layers);
  expect(parseWant({ ...want, compress: "gzip:9" })).toEqual({ ...layers, compress: { how: "gzip", level: 9 } });
  expect(layerMessage(parseLayer({ ...layer, extra: 1 }))).toEqual(layer);
  expect({ type: "result", ...resultMessage(parseResult({ ...result, extra: 1 })) }).toEqual({
    ...result,
    names: ["app"],
  });
  expect(parseResult({ ...result, names: ["app:v1", "app:v2"] }).names).toEqual(["app:v1", "app:v2"]);
});

test.each([
  ["layers", { kind: "layers", diffIds: [DIGEST], delta: true, begun: [DIGEST] }, { whole: false, nothing: false }],
  ["the image", { kind: "image", diffIds: [DIGEST] }, { whole: true, nothing: false, delta: false }],
  ["nothing", { kind: "nothing" }, { whole: false, nothing: true, delta: false, diffIds: [] }],
] as const)("a `want` for %s has the fields of version 0.1", (_, wanted, fields) => {
  for (const compress of [{}, { compress: { how: "gzip", level: 9 } as const }]) {
    const sent = wantMessage({ ...wanted, codecs: ["gzip"], ...compress });
    expect(sent).toMatchObject({ type: "want", codecs: ["gzip"], ...fields });
    expect(parseWant(sent)).toEqual({ ...wanted, codecs: ["gzip"], ...compress });
  }
});

test("encodes and parses the list of images", () => {
  const { images } = parseImages(imagesMessage(["app:v1", "registry.example.com/team/db:2"]));
  expect(images.map(({ given }) => given)).toEqual(["app:v1", "registry.example.com/team/db:2"]);
  expect(imagesMessage(["app:v1"])).toEqual({ type: "images", images: ["app:v1"] }); // in the form that earlier versions support
  for (const more of [true, false]) expect(parseImages(imagesMessage([], more))).toEqual({ images: [], more });
});

describe("malformed messages end the transfer:", () => {
  test.each([undefined, "app", ["App"], [7], ["a b"], Array.from({ length: 1001 }, (_, number) => `app:${number}`)])(
    "a list of images: %#",
    (images) => {
      expect(() => parseImages({ type: "images", images })).toThrow("broke the protocol");
    },
  );

  test.each([
    { image: 1 },
    { image: "x".repeat(513) },
    { run: "../../etc" },
    { run: undefined },
    { platform: "linux arm64" },
    { platforms: [] },
    { platforms: "some" },
    { platforms: ["linux arm64"] },
    { platforms: Array.from({ length: 101 }, () => "linux/arm64") },
  ])("ask with %j", (change) => {
    expect(() => parseAsk({ ...ask, ...change })).toThrow("broke the protocol");
  });

  test.each([
    { repository: "../x" },
    { repository: "a b" },
    { repository: "evil.example.com:80/../x?y" },
    { repository: undefined },
    { tag: "a/b" },
    { tag: "" },
    { credentials: null },
    { credentials: { username: "u" } },
  ])("offer with %j", (change) => {
    expect(() => parseOffer({ ...offer, ...change })).toThrow("broke the protocol");
  });

  test.each([
    { diffId: "sha256:short" },
    { digest: "../x" },
    { mediaType: "a b\r\n" },
    { mediaType: "x".repeat(129) },
    { size: -1 },
    { size: 2 ** 51 },
    { size: "5" },
  ])("layer with %j", (change) => {
    expect(() => parseLayer({ ...layer, ...change })).toThrow("broke the protocol");
  });

  test.each([
    { diffIds: "all" },
    { diffIds: ["sha256:short"] },
    { diffIds: Array.from({ length: 1001 }, () => DIGEST) },
    { platform: "" },
    { configDigest: "sha256:short" },
    { manifest },
    { manifest: null },
    { manifest: "" },
    { manifest: asText(manifest).slice(0, 80) },
    { manifest: asText({ ...manifest, layers: [] }) },
    { manifest: asText({ ...manifest, layers: [blob, blob] }) },
    { manifest: asText({ ...manifest, layers: [{ ...blob, digest: "sha256:short" }] }) },
    { manifest: asText({ ...manifest, layers: [{ ...blob, size: -1 }] }) },
    { manifest: asText({ ...manifest, config: undefined }) },
    { manifest: asText({ ...manifest, manifests: [blob] }) },
  ])("about with %j", (change) => {
    expect(() => parseAbout({ ...about, ...change })).toThrow("broke the protocol");
  });

  test.each([
    { diffIds: undefined },
    { diffIds: [null] },
    { diffIds: [7] },
    { compress: "lz4" },
    { compress: "gzip:99" },
    { compress: "gzip:9; rm" },
    { compress: "x".repeat(513) },
    { compress: { how: "gzip" } },
    { compress: null },
    { compress: 9 },
  ])("want with %j", (change) => {
    expect(() => parseWant({ ...want, ...change })).toThrow("broke the protocol");
  });

  test.each([{ layersSent: Number.NaN }, { id: {} }, { bytesPresent: -1 }])("result with %j", (change) => {
    expect(() => parseResult({ ...result, ...change })).toThrow("broke the protocol");
  });
});
