import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { digestOf } from "../../../src/image/digest.ts";
import { encodeManifest, MEDIA_TYPE, type Descriptor } from "../../../src/image/manifest.ts";
import { readIndex, type StoredBlobs } from "../../../src/send/read-index.ts";
import { asPlatform } from "../image/platforms.ts";

/** A store of blobs, by digest. */
function storeOf(...blobs: Buffer[]): StoredBlobs {
  const all = new Map(blobs.map((blob) => [digestOf(blob), blob]));
  return {
    isInFile: true,
    present: async (wanted) => new Set(wanted.map(({ digest }) => digest).filter((digest) => all.has(digest))),
    readSmall: async ({ digest }) => all.get(digest),
    open: ({ digest }) => Readable.from([all.get(digest)]),
  };
}

const named = { image: "app:v1", address: "a store" };
const describe = (bytes: Buffer, mediaType: string): Descriptor => ({
  mediaType,
  digest: digestOf(bytes),
  size: bytes.length,
});
const config = Buffer.from(JSON.stringify({ os: "linux", architecture: "arm64", rootfs: { diff_ids: [] } }));
const layer = Buffer.from("layer");
const { bytes: manifest, descriptor } = encodeManifest({
  mediaType: MEDIA_TYPE.ociManifest,
  config: describe(config, MEDIA_TYPE.ociConfig),
  layers: [describe(layer, MEDIA_TYPE.ociLayer)],
});
const statement = encodeManifest({
  mediaType: MEDIA_TYPE.ociManifest,
  config: describe(config, MEDIA_TYPE.ociConfig),
  layers: [describe(Buffer.from("{}"), "application/vnd.in-toto+json")],
});
const indexOf = (...manifests: Descriptor[]): Buffer =>
  Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests }));
const image = { ...descriptor, platform: asPlatform("linux/arm64") };
const attestation = {
  ...statement.descriptor,
  platform: { os: "unknown", architecture: "unknown" },
  annotations: { "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image.digest },
};

test("includes the attestations that exist", async () => {
  const root = indexOf(image, attestation);
  const without = await readIndex(root, storeOf(manifest, config, layer), "all", named);
  expect(without.manifests.map((one) => one.descriptor.digest)).toEqual([image.digest]);
  // Its content is not complete.
  const half = storeOf(manifest, config, layer, statement.bytes);
  expect(await readIndex(root, half, "all", named)).toEqual(without);
  const whole = await readIndex(
    root,
    storeOf(manifest, config, layer, statement.bytes, Buffer.from("{}")),
    "all",
    named,
  );
  expect(whole.manifests).toHaveLength(2);
  expect(whole.platforms).toEqual([asPlatform("linux/arm64")]);
});

test("omits attestations of other platforms", async () => {
  const other = {
    ...attestation,
    annotations: { ...attestation.annotations, "vnd.docker.reference.digest": "another" },
  };
  const store = storeOf(manifest, config, layer, statement.bytes, Buffer.from("{}"));
  const { manifests } = await readIndex(indexOf(image, other), store, [asPlatform("linux/arm64")], named);
  expect(manifests.map((one) => one.descriptor.digest)).toEqual([image.digest]);
});

test("uses the platform of the config for the manifest of one image", async () => {
  const { platforms, blobs } = await readIndex(manifest, storeOf(config, layer), "all", named);
  expect(platforms).toEqual([asPlatform("linux/arm64")]);
  expect(blobs).toHaveLength(2);
});

test.each([
  ["an empty index", indexOf(), [], "names no image"],
  ["an index that contains only attestations", indexOf(attestation), [statement.bytes], "names no image"],
  ["a manifest without a layer", manifest, [config], "lacks a part of its content"],
  ["a platform without a layer", indexOf(image), [manifest, config], "names linux/arm64 without the content"],
])("does not send %s", async (_, root, blobs, words) => {
  await expect(readIndex(root, storeOf(...blobs), "all", named)).rejects.toMatchObject({
    code: "image-not-found",
    message: expect.stringContaining(words) as string,
  });
});

test("rejects an index in the index", async () => {
  const nested = indexOf(image);
  const root = indexOf({ ...describe(nested, MEDIA_TYPE.ociIndex), platform: asPlatform("linux/arm64") });
  await expect(readIndex(root, storeOf(nested), "all", named)).rejects.toThrow("its manifest is an index");
});

test("stops reading a hostile index at 4 MB of manifests, to limit memory", async () => {
  const padded = Array.from({ length: 40 }, (_, at) =>
    Buffer.from(JSON.stringify({ ...(JSON.parse(manifest.toString()) as object), x: `${at}`.padEnd(1_000_000) })),
  );
  const entries = padded.map((bytes) => ({ ...describe(bytes, MEDIA_TYPE.ociManifest), platform: image.platform }));
  let read = 0;
  const store = storeOf(...padded, config, layer);
  const counting = {
    ...store,
    readSmall: async (blob: Descriptor, max: number) => {
      read += 1;
      return await store.readSmall(blob, max);
    },
  };
  await expect(readIndex(indexOf(...entries), counting, "all", named)).rejects.toThrow("more than 4194304 bytes");
  expect(read).toBe(5);
});
