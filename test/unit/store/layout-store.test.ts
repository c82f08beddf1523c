import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { newRunId } from "../../../src/run/run-id.ts";
import { hexOf } from "../../../src/image/digest.ts";
import { LayoutStore } from "../../../src/store/layout-store.ts";
import { blobEntries, gzipped, index, LAYOUT, makeImage, ociBlobs, plain } from "../image/make-image.ts";
import { layoutOf, writeTree } from "../command-line/images.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "layout-store-"));
});
afterAll(async () => await rm(folder, { recursive: true }));

const image = await makeImage([3000, 700]);
const other = await makeImage([700, 90]);
const all = [...image.diffIds, ...other.diffIds];

test("finds the layers of all images by diff ID, if their blobs are present", async () => {
  const path = join(folder, "layers");
  await writeTree(path, layoutOf([{ image, ref: "v1" }, { image: other }]));
  const store = new LayoutStore(path, newRunId());
  const [one, two] = [ociBlobs(image, gzipped).descriptors, ociBlobs(other, gzipped).descriptors];
  expect(await store.findLayers(all)).toEqual(
    new Map([
      [image.diffIds[0], one[0]],
      [image.diffIds[1], one[1]],
      [other.diffIds[1], two[1]],
    ]),
  );
  await truncate(join(path, "blobs/sha256", hexOf(one[0]?.digest ?? "")), 10);
  await rm(join(path, "blobs/sha256", hexOf(two[1]?.digest ?? "")));
  expect([...(await store.findLayers(all)).keys()]).toEqual([image.diffIds[1]]);
  expect(await new LayoutStore(join(folder, "nowhere"), newRunId()).findLayers(all)).toEqual(new Map());
});

test("finds only the named blob of several blobs of a layer", async () => {
  const path = join(folder, "named");
  const [packed, asItIs] = [gzipped, plain].map((pack) => ociBlobs(image, pack));
  const entries = [packed, asItIs].flatMap((one) => blobEntries(one?.blobs ?? []));
  const both = index([packed, asItIs].map((one) => one?.manifest.descriptor));
  await writeTree(path, [...entries, both, LAYOUT]);
  const store = new LayoutStore(path, newRunId());
  const [bottom = "", top = ""] = image.diffIds;
  expect(await store.findLayers(image.diffIds, new Map([[bottom, bottom]]))).toEqual(
    new Map([[bottom, asItIs?.descriptors[0]]]),
  );
  const digest = packed?.descriptors[1]?.digest ?? "";
  expect(await store.findLayers(image.diffIds, new Map([[top, digest]]))).toEqual(
    new Map([[top, packed?.descriptors[1]]]),
  );
  expect(await store.findLayers(image.diffIds, new Map([[top, packed?.descriptors[0]?.digest ?? ""]]))).toEqual(
    new Map(),
  );
});

test("ignores an image whose digest differs from its descriptor", async () => {
  const path = join(folder, "damaged");
  await writeTree(path, layoutOf([{ image }, { image: other }], plain));
  await writeFile(join(path, "blobs/sha256", hexOf(ociBlobs(image, plain).manifest.descriptor.digest)), "{}");
  expect([...(await new LayoutStore(path, newRunId()).findLayers(all)).keys()]).toEqual(other.diffIds);
});

test("loses no image when several runs list images at the same time", async () => {
  const path = join(folder, "listed");
  await writeTree(path, layoutOf([{ image }]));
  const names = Array.from({ length: 12 }, (_, index) => `app:v${index}`);
  const { descriptor } = ociBlobs(image, gzipped).manifest;
  await Promise.all(names.map(async (ref) => await new LayoutStore(path, newRunId()).listImage(descriptor, [{ ref }])));
  const store = new LayoutStore(path, newRunId());
  for (const name of names) expect((await store.find(name)).diffIds).toEqual(image.diffIds);
});
