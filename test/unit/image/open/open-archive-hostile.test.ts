import { execFile } from "node:child_process";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { openArchive } from "../../../../src/image/open/open-archive.ts";

import { digestOf, hexOf } from "../../../../src/image/digest.ts";
import { MEDIA_TYPE, type Descriptor } from "../../../../src/image/manifest.ts";
import { file, folder, unpack } from "../archive/files.ts";
import { blobEntries, gzipped, index, LAYOUT, makeImage, ociBlobs, savePodman } from "../make-image.ts";
import { bytesOf, forgeSize, makeTar, type TestEntry } from "../tar/make-tar.ts";
import { InvalidImage } from "../../../../src/image/invalid-image.ts";

const image = await makeImage([3000, 70_000, 200, 70_000, 9000]);
const arm = await makeImage([3000, 800], { architecture: "arm64", variant: "v8" });
const good = await savePodman(image);
const oci = ociBlobs(image, gzipped);
const tar = await makeTar(good);
const ociEntry = (blobs: Buffer[], manifests: unknown[]): TestEntry[] => [
  ...blobEntries(blobs),
  index(manifests),
  LAYOUT,
];
const descriptorOf = (bytes: Buffer, mediaType: string = MEDIA_TYPE.ociIndex): Descriptor => ({
  mediaType,
  digest: digestOf(bytes),
  size: bytes.length,
});

test.each([
  ["two files of one name", await makeTar([...good, { ...good[0], name: good[0]?.name ?? "", content: "x" }]), "twice"],
  ["a name that leads out of the archive", await makeTar([{ name: "../x", content: "x" }, ...good]), "leads out of it"],
  ["truncated within a layer", tar.subarray(0, 30_000), "ends in the middle of"],
  ["truncated within a header", tar.subarray(0, 100), "not a tar archive"],
  ["a size beyond the end", forgeSize(tar, 0, 2 ** 32), "ends in the middle of"],
  ["no tar", Buffer.from("hello ".repeat(1000)), "not a tar archive"],
  ["nothing", Buffer.alloc(0), 'has no file "manifest.json"'],
  ["compressed as a whole", gzipSync(tar), "compressed with gzip as a whole"],
  [
    "a config with another digest",
    await makeTar(good.map((entry) => (entry.content === image.config ? { ...entry, content: arm.config } : entry))),
    "has the digest",
  ],
])("docker archive: %s", async (_name, bytes, message) => {
  const path = await file(bytes);
  const done = (async () => {
    await using archive = await openArchive("docker-archive", path);
    return await archive.find();
  })();
  await expect(done).rejects.toThrow(message);
  await expect(done).rejects.toBeInstanceOf(InvalidImage);
});

test("docker archive: a layer with another digest fails when it is read", async () => {
  const swapped = await savePodman({ ...image, layers: image.layers.toReversed() });
  await using archive = await openArchive("docker-archive", await file(await makeTar(swapped)));
  const [layer] = (await archive.find()).layers;
  if (layer === undefined) throw new Error("no layer");
  await expect(bytesOf(layer.open())).rejects.toThrow(/has the digest/);
});

test("docker archive: truncated while it is open", async () => {
  const path = await file(tar);
  await using archive = await openArchive("docker-archive", path);
  const found = await archive.find();
  await writeFile(path, tar.subarray(0, 10_000));
  const layers = found.layers.map(async (layer) => await bytesOf(layer.open()));
  await expect(Promise.all(layers)).rejects.toThrow("cut off while it was read");
  await Promise.allSettled(layers);
});

test("reads no layer from a closed archive", async () => {
  const archive = await openArchive("docker-archive", await file(tar));
  const [layer] = (await archive.find()).layers;
  await archive.close();
  if (layer === undefined) throw new Error("no layer");
  await expect(bytesOf(layer.open())).rejects.toThrow("closed");
});

const itself = `sha256:${"0".repeat(64)}`;
const pointsAtItself = Buffer.from(
  JSON.stringify({ manifests: [{ mediaType: MEDIA_TYPE.ociIndex, digest: itself, size: 149 }] }),
);
let deep = Buffer.from(JSON.stringify({ manifests: [oci.manifest.descriptor] }));
const levels = [deep];
for (let level = 0; level < 6; level += 1)
  levels.push((deep = Buffer.from(JSON.stringify({ manifests: [descriptorOf(deep)] }))));
/** Each index names the next one a hundred times. */
let wide = Buffer.from(JSON.stringify({ manifests: [] }));
const wideLevels = [wide];
for (let level = 0; level < 3; level += 1) {
  wideLevels.push(
    (wide = Buffer.from(JSON.stringify({ manifests: Array.from({ length: 100 }, () => descriptorOf(wide)) }))),
  );
}
const wrongManifestSize = { ...oci.manifest.descriptor, size: oci.manifest.descriptor.size + 1 };
const fewer = Buffer.from(
  JSON.stringify({ ...(JSON.parse(oci.manifest.bytes.toString()) as object), layers: oci.descriptors.slice(1) }),
);
const wrongLayerSizes = Buffer.from(
  JSON.stringify({
    ...(JSON.parse(oci.manifest.bytes.toString()) as object),
    layers: oci.descriptors.map((one) => ({ ...one, size: one.size + 1 })),
  }),
);
const bigConfig = {
  ...JSON.parse(oci.manifest.bytes.toString()),
  config: { ...descriptorOf(Buffer.alloc(9_000_000, " ")), mediaType: MEDIA_TYPE.ociConfig },
} as object;
const bigConfigManifest = Buffer.from(JSON.stringify(bigConfig));

test.each([
  [
    "an index that refers to itself",
    [
      ...ociEntry([], [{ mediaType: MEDIA_TYPE.ociIndex, digest: itself, size: 149 }]),
      { name: `blobs/sha256/${hexOf(itself)}`, content: pointsAtItself },
    ],
    /has the digest|bytes, its descriptor/,
  ],
  ["nested indexes", ociEntry([...levels, ...oci.blobs], [descriptorOf(deep)]), "nested more than 4 levels deep"],
  ["indexes that multiply", ociEntry(wideLevels, [descriptorOf(wide)]), "name more than 10000 indexes"],
  [
    "an index of 50,001",
    ociEntry(
      oci.blobs,
      Array.from({ length: 50_001 }, () => oci.manifest.descriptor),
    ),
    "more than 50000 manifests",
  ],
  ["a manifest of another size", ociEntry(oci.blobs, [wrongManifestSize]), "its descriptor states"],
  [
    "a blob of another digest",
    [
      ...ociEntry(oci.blobs.slice(1), [oci.manifest.descriptor]),
      { name: `blobs/sha256/${hexOf(digestOf(image.config))}`, content: Buffer.alloc(image.config.length, " ") },
    ],
    "has the digest",
  ],
  [
    "a manifest with fewer layers",
    ociEntry([...oci.blobs, fewer], [descriptorOf(fewer, MEDIA_TYPE.ociManifest)]),
    "its manifest names 4 layers, its config 5",
  ],
  [
    "a layer of another size",
    ociEntry([...oci.blobs, wrongLayerSizes], [descriptorOf(wrongLayerSizes, MEDIA_TYPE.ociManifest)]),
    "its descriptor states",
  ],
  [
    "a huge config",
    ociEntry(
      [...oci.blobs, bigConfigManifest, Buffer.alloc(9_000_000, " ")],
      [descriptorOf(bigConfigManifest, MEDIA_TYPE.ociManifest)],
    ),
    "larger than 8388608 bytes",
  ],
  [
    "an index as a manifest",
    ociEntry([deep], [descriptorOf(deep, MEDIA_TYPE.ociManifest)]),
    "should be the manifest of one image",
  ],
  [
    "a manifest as an index",
    ociEntry(oci.blobs, [{ ...oci.manifest.descriptor, mediaType: MEDIA_TYPE.ociIndex }]),
    "is the manifest of one image",
  ],
  [
    "another version of the format",
    [
      ...ociEntry(oci.blobs, [oci.manifest.descriptor]).slice(0, -1),
      { name: "oci-layout", content: '{"imageLayoutVersion":"2.0.0"}' },
    ],
    "no version 1",
  ],
  ["no oci-layout", ociEntry(oci.blobs, [oci.manifest.descriptor]).slice(0, -1), 'has no file "oci-layout"'],
  [
    "a digest that is a path",
    ociEntry(oci.blobs, [{ ...oci.manifest.descriptor, digest: "sha256:../../../../etc/passwd" }]),
    "malformed",
  ],
  ["an index that is not JSON", [{ name: "index.json", content: "{" }, LAYOUT], "not JSON"],
] as [string, TestEntry[], string | RegExp][])("OCI layout: %s", async (_name, entries, message) => {
  const opened = [
    async () => await openArchive("oci", await unpack(entries)),
    async () => await openArchive("oci-archive", await file(await makeTar(entries))),
  ];
  for (const open of opened) {
    const done = (async () => {
      await using archive = await open();
      return await archive.find();
    })();
    await expect(done).rejects.toThrow(message);
    await expect(done).rejects.toBeInstanceOf(InvalidImage);
  }
});

test("OCI layout: a layer with another digest fails when it is read", async () => {
  const path = await unpack(ociEntry(oci.blobs, [oci.manifest.descriptor]));
  await writeFile(
    join(path, "blobs/sha256", hexOf(oci.descriptors[0]?.digest ?? "")),
    Buffer.alloc(oci.descriptors[0]?.size ?? 0),
  );
  await using archive = await openArchive("oci", path);
  const [layer] = (await archive.find()).layers;
  if (layer === undefined) throw new Error("no layer");
  await expect(bytesOf(layer.open())).rejects.toThrow(/has the digest/);
});

test("OCI layout: rejects a named pipe without waiting for it", async () => {
  const path = await unpack(ociEntry(oci.blobs, [oci.manifest.descriptor]));
  await rm(join(path, "index.json"));
  await promisify(execFile)("mkfifo", [join(path, "index.json")]);
  await expect(openArchive("oci", path)).rejects.toThrow('"index.json" is not a file');
});

test("reports the error of the file system for a missing archive", async () => {
  await expect(openArchive("docker-archive", join(folder, "nowhere"))).rejects.toMatchObject({ code: "ENOENT" });
  await expect(openArchive("oci", join(folder, "nowhere"))).rejects.toMatchObject({ code: "ENOENT" });
});
