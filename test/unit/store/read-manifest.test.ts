import { expect, test } from "vitest";
import type { ContentStore } from "../../../src/engine/content-store.ts";
import type { Engine } from "../../../src/engine/engine.ts";
import { digestOf } from "../../../src/image/digest.ts";
import { MAX_MANIFEST, MEDIA_TYPE, encodeManifest } from "../../../src/image/manifest.ts";
import { readManifest } from "../../../src/store/read-manifest.ts";
import { AMD64, asPlatform } from "../image/platforms.ts";

// For engines without access to their content store, see save-blobs.test.ts.

const descriptor = (text: string) => ({ mediaType: MEDIA_TYPE.ociLayer, digest: digestOf(text), size: text.length });
const image = encodeManifest({
  mediaType: MEDIA_TYPE.ociManifest,
  config: descriptor("config"),
  layers: [descriptor("layer")],
});
const platform = { os: "linux", architecture: "amd64" };
const indexOf = (...manifests: object[]): Buffer => Buffer.from(JSON.stringify({ schemaVersion: 2, manifests }));
const index = indexOf({ ...descriptor("an attestation") }, { ...image.descriptor, platform });

/** An engine whose content store has these blobs, and that has no other methods. */
function engineWith(...blobs: Buffer[]) {
  const read: [string, number][] = [];
  const content: Partial<ContentStore> = {
    async readSmall(digest, max) {
      read.push([digest, max]);
      return blobs.find((blob) => digestOf(blob) === digest);
    },
  };
  return { engine: { contentStore: async () => content } as unknown as Engine, read };
}

async function manifestIn(blobs: Buffer[], id = image.descriptor.digest, of = "linux/amd64") {
  return await readManifest(engineWith(...blobs).engine, { id, platform: asPlatform(of) }, "unused");
}

test("reads a raw manifest from the content store", async () => {
  const { engine, read } = engineWith(image.bytes);
  const found = await readManifest(engine, { id: image.descriptor.digest, platform: AMD64 }, "unused");
  expect(found?.bytes).toEqual(image.bytes);
  expect(found?.layers).toEqual([descriptor("layer")]);
  expect(read).toEqual([[image.descriptor.digest, MAX_MANIFEST]]);
});

test("finds a manifest through an index, by the platform", async () => {
  expect((await manifestIn([image.bytes, index], digestOf(index)))?.bytes).toEqual(image.bytes);
});

test.each([
  ["it is missing", [], undefined],
  ["it is not a manifest", [Buffer.from("no manifest")], digestOf("no manifest")],
  ["its index has none for that platform", [image.bytes, index], digestOf(index), "linux/s390x"],
  ["its index names a missing manifest", [index], digestOf(index)],
])("returns no manifest if %s", async (_, blobs: Buffer[], id?: string, of?: string) => {
  expect(await manifestIn(blobs, id, of)).toBeUndefined();
});

test("does not follow an index within an index", async () => {
  const outer = indexOf({ ...descriptor(index.toString()), platform });
  expect(await manifestIn([image.bytes, index, outer], digestOf(outer))).toBeUndefined();
});

test("does not look up an ID that is not a digest", async () => {
  const { engine, read } = engineWith(image.bytes);
  expect(await readManifest(engine, { id: "app:v1", platform: AMD64 }, "unused")).toBeUndefined();
  expect(read).toEqual([]);
});
