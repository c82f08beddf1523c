import { expect, test } from "vitest";
import { digestOf } from "../../../src/image/digest.ts";
import { indexContent, partsOf } from "../../../src/image/index-content.ts";
import { encodeManifest, MEDIA_TYPE, type Descriptor, type EncodedManifest } from "../../../src/image/manifest.ts";

const blob = (content: string, size = content.length): Descriptor => ({
  mediaType: MEDIA_TYPE.ociLayerGzip,
  digest: digestOf(content),
  size,
});
const manifestOf = (config: string, ...layers: Descriptor[]): EncodedManifest =>
  encodeManifest({
    mediaType: MEDIA_TYPE.ociManifest,
    config: { ...blob(config), mediaType: MEDIA_TYPE.ociConfig },
    layers,
  });
const [amd, arm] = [manifestOf("amd", blob("shared"), blob("a")), manifestOf("arm", blob("shared"), blob("b"))];
const entry = ({ descriptor }: EncodedManifest, architecture: string): Descriptor => ({
  ...descriptor,
  platform: { os: "linux", architecture },
});
const indexOf = (...manifests: Descriptor[]): Buffer =>
  Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests }));
const index = indexOf(entry(amd, "amd64"), entry(arm, "arm64"));

test("lists blobs that platforms share once, regardless of the order of the manifests", () => {
  const content = indexContent(index, [arm.bytes, amd.bytes]);
  const digests = ["amd", "shared", "a", "arm", "b"].map((text) => digestOf(text));
  expect(content.blobs.map(({ digest }) => digest)).toEqual(digests);
  expect(content.platforms.map(({ architecture }) => architecture)).toEqual(["amd64", "arm64"]);
  expect(partsOf(content).map(({ digest }) => digest)).toEqual([
    digestOf(index),
    amd.descriptor.digest,
    arm.descriptor.digest,
    ...digests,
  ]);
  expect(content).toEqual(indexContent(index, [amd.bytes, arm.bytes]));
});

test("only the index names a missing platform", () => {
  const { platforms, blobs, root } = indexContent(index, [arm.bytes]);
  expect(platforms.map(({ architecture }) => architecture)).toEqual(["arm64"]);
  expect(blobs).toHaveLength(3);
  expect(root.descriptor.digest).toBe(digestOf(index));
});

test("ignores a platform that no option can name", () => {
  const odd = { ...amd.descriptor, platform: { os: "Linux", architecture: "x86.64" } };
  const { platforms, manifests } = indexContent(indexOf(odd, entry(arm, "arm64")), [amd.bytes, arm.bytes]);
  expect(platforms.map(({ architecture }) => architecture)).toEqual(["arm64"]);
  expect(manifests).toHaveLength(2);
});

test("accepts the manifest of one image as the root", () => {
  const { manifests, blobs, root } = indexContent(amd.bytes, []);
  expect([manifests, blobs.length, root.descriptor]).toEqual([[], 3, amd.descriptor]);
});

test.each<[string, Buffer, Buffer[], string]>([
  ["a manifest that the index does not name", indexOf(entry(amd, "amd64")), [arm.bytes], "does not name a manifest"],
  ["a manifest of another size", indexOf({ ...entry(amd, "amd64"), size: 1 }), [amd.bytes], "does not name a manifest"],
  [
    "an index in the index",
    indexOf({ ...blob("x"), digest: digestOf(index), size: index.length }),
    [index],
    "is an index",
  ],
  ["manifests beside the manifest of one image", amd.bytes, [arm.bytes], "the manifest of one image"],
  ["no manifest at all", Buffer.from("{}"), [], "neither layers nor manifests"],
  ["a blob of two sizes", manifestOf("c", blob("x"), blob("x", 7)).bytes, [], "two sizes"],
  [
    "too many blobs",
    manifestOf("c", ...Array.from({ length: 1000 }, (_, at) => blob(String(at)))).bytes,
    [],
    "more than 1000",
  ],
  ["too many bytes", Buffer.concat([index, Buffer.alloc(500_000, " ")]), [], "more than the 500000"],
])("rejects %s", (_, root, manifests, words) => {
  expect(() => indexContent(root, manifests)).toThrow(words);
});
