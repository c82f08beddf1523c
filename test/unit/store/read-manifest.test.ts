import { expect, test } from "vitest";
import type { ContentStore } from "../../../src/engine/content-store.ts";
import type { Engine } from "../../../src/engine/engine.ts";
import { digestOf } from "../../../src/image/digest.ts";
import { MAX_MANIFEST, MEDIA_TYPE, encodeManifest } from "../../../src/image/manifest.ts";
import { readManifest } from "../../../src/store/read-manifest.ts";

// How a store tells it that cannot be asked: save-blobs.test.ts.

const descriptor = (text: string) => ({ mediaType: MEDIA_TYPE.ociLayer, digest: digestOf(text), size: text.length });
const image = encodeManifest({
  mediaType: MEDIA_TYPE.ociManifest,
  config: descriptor("config"),
  layers: [descriptor("layer")],
});
const platform = { os: "linux", architecture: "amd64" };
const indexOf = (...manifests: object[]): Buffer => Buffer.from(JSON.stringify({ schemaVersion: 2, manifests }));
const index = indexOf({ ...descriptor("an attestation") }, { ...image.descriptor, platform });

/** An engine whose content store holds these; nothing else is to be asked of it. */
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
  return await readManifest(engineWith(...blobs).engine, { id, platform: of }, "unused");
}

test("a manifest is read from the content store, byte for byte", async () => {
  const { engine, read } = engineWith(image.bytes);
  const found = await readManifest(engine, { id: image.descriptor.digest, platform: "linux/amd64" }, "unused");
  expect(found?.bytes).toEqual(image.bytes);
  expect(found?.layers).toEqual([descriptor("layer")]);
  expect(read).toEqual([[image.descriptor.digest, MAX_MANIFEST]]);
});

test("or found there through an index, for the image's platform", async () => {
  expect((await manifestIn([image.bytes, index], digestOf(index)))?.bytes).toEqual(image.bytes);
});

test.each([
  ["it is not there", [], undefined],
  ["it is no manifest", [Buffer.from("no manifest")], digestOf("no manifest")],
  ["its index has none for that platform", [image.bytes, index], digestOf(index), "linux/s390x"],
  ["its index names one that is not there", [index], digestOf(index)],
])("there is none where %s", async (_, blobs: Buffer[], id?: string, of?: string) => {
  expect(await manifestIn(blobs, id, of)).toBeUndefined();
});

test("nor where an index leads to another", async () => {
  const outer = indexOf({ ...descriptor(index.toString()), platform });
  expect(await manifestIn([image.bytes, index, outer], digestOf(outer))).toBeUndefined();
});

test("nor of what has no digest for an ID: then nothing is asked", async () => {
  const { engine, read } = engineWith(image.bytes);
  expect(await readManifest(engine, { id: "app:v1", platform: "linux/amd64" }, "unused")).toBeUndefined();
  expect(read).toEqual([]);
});
