import { expect, test } from "vitest";
import { digestOf } from "../../../src/image/digest.ts";
import { MEDIA_TYPE, parseImageManifest, type Descriptor } from "../../../src/image/manifest.ts";
import { manifestFor } from "../../../src/store/compose-manifest.ts";
import type { AvailableLayer } from "../../../src/store/store.ts";

const config = Buffer.from("{}");
const blobOf = (text: string): Descriptor => ({
  mediaType: MEDIA_TYPE.dockerLayerGzip,
  digest: digestOf(text),
  size: text.length,
});
const layers = ["one", "two"].map((text): AvailableLayer => {
  return { kind: "present", diffId: digestOf(`the tar of ${text}`), blob: blobOf(text) };
});
const described = { mediaType: MEDIA_TYPE.dockerConfig, digest: digestOf(config), size: config.length };
/** A manifest in a format that this program does not write. */
const sent = (blobs: Descriptor[], of = described) =>
  parseImageManifest(
    Buffer.from(
      JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.dockerManifest, config: of, layers: blobs }, null, 3),
    ),
  );
const blobs = ["one", "two"].map(blobOf);

test("uses the sender's manifest of these blobs and this config, byte for byte", () => {
  const { bytes } = sent(blobs);
  const descriptor = { mediaType: MEDIA_TYPE.dockerManifest, digest: digestOf(bytes), size: bytes.length };
  expect(manifestFor(config, layers, sent(blobs))).toEqual({ bytes, descriptor });
});

test("uses a manifest that misstates the compression of a layer only if it must be preserved", () => {
  const other = sent(blobs.map((blob) => ({ ...blob, mediaType: MEDIA_TYPE.ociLayer })));
  expect(manifestFor(config, layers, other).descriptor).toEqual(manifestFor(config, layers, sent([])).descriptor);
  expect(manifestFor(config, layers, other, { preserve: true }).bytes).toEqual(other.bytes);
});

test.each([
  ["another blob", sent([...blobs.slice(1), blobOf("three")])],
  ["one layer less", sent(blobs.slice(1))],
  ["one layer more", sent([...blobs, blobOf("three")])],
  ["another size", sent(blobs.map((blob) => ({ ...blob, size: 7 })))],
  ["another config", sent(blobs, { ...described, digest: digestOf("other") })],
  ["a blob that is not a layer", sent(blobs.map((blob) => ({ ...blob, mediaType: "text/html" })))],
])("composes a manifest instead of using one with %s", (_, other) => {
  const { descriptor } = manifestFor(config, layers, other);
  expect(descriptor).toEqual(manifestFor(config, layers, sent([])).descriptor);
  expect(descriptor).toMatchObject({ mediaType: MEDIA_TYPE.ociManifest });
});
