import { expect, test } from "vitest";
import { openArchive } from "../../../../src/image/open/open-archive.ts";
import { digestOf, hexOf } from "../../../../src/image/digest.ts";
import { file } from "../archive/files.ts";
import { blobEntries, dockerManifest, gzipped, index, LAYOUT, makeImage, ociBlobs, savePodman } from "../make-image.ts";
import { makeTar } from "../tar/make-tar.ts";
import { parseArchivedName } from "../../../../src/image/archived-name.ts";

/** Archives at their limits. Code of quadratic complexity would exceed the time limit of the test. */

const image = await makeImage([3000]);
const saved = await savePodman(image);
const layers = image.diffIds.map((diffId) => `${hexOf(diffId)}.tar`);

test("100,000 entries", async () => {
  const folder = (await makeTar([{ name: "folder/", type: "directory" }])).subarray(0, 512);
  const folders = Array.from({ length: 100_000 - saved.length }, () => folder);
  await using archive = await openArchive(
    "docker-archive",
    await file(Buffer.concat([...folders, await makeTar(saved)])),
  );
  expect((await archive.find()).diffIds).toEqual(image.diffIds);
});

test("300,000 names of an image, all but the last only a tag", async () => {
  const names = [...Array.from({ length: 300_000 }, () => "v1"), "example.com/app:v1"];
  const config = `${hexOf(digestOf(image.config))}.json`;
  const others = saved.filter(({ name }) => name !== "manifest.json");
  const path = await file(await makeTar([...others, dockerManifest(config, layers, names)]));
  await using archive = await openArchive("docker-archive", path);
  expect((await archive.find(parseArchivedName("example.com/app:v1"))).diffIds).toEqual(image.diffIds);
  await expect(archive.find(parseArchivedName("app:v1"))).rejects.toThrow('it holds no image app:v1, but "v1"');
});

test("an index that names an image 50,000 times", async () => {
  const { blobs, manifest } = ociBlobs(image, gzipped);
  const entries = Array.from({ length: 50_000 }, (_, nth) => ({
    ...manifest.descriptor,
    annotations: { "org.opencontainers.image.ref.name": `app:${nth}` },
  }));
  const path = await file(await makeTar([...blobEntries(blobs), index(entries), LAYOUT]));
  await using archive = await openArchive("oci-archive", path);
  expect((await archive.find()).names).toHaveLength(50_000);
});
