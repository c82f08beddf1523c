import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { chainIds, digestOf, hexOf } from "../../../../src/image/digest.ts";
import { InvalidImage } from "../../../../src/image/invalid-image.ts";
import { blobEntries, configFor, dockerManifest, gzipped, makeImage, ociBlobs, savePodman } from "../make-image.ts";
import { forgeSize, makeTar, type TestEntry } from "../tar/make-tar.ts";
import { read } from "./saved-image.ts";

const image = await makeImage([3000, 70_000, 200, 9000]);
const configName = `${hexOf(digestOf(image.config))}.json`;
const layerNames = image.diffIds.map((diffId) => `${hexOf(diffId)}.tar`);
const good = await savePodman(image);
const without = (name: string): TestEntry[] => good.filter((entry) => entry.name !== name);
const other = await makeImage([77]);
const thousands = Array.from({ length: 10_000 }, () => image.diffIds[0]);
const bigConfig = { name: configName, content: Buffer.alloc(9 * 1024 * 1024, "{ ") };

const table: [string, TestEntry[], string | RegExp][] = [
  ["a name that leads out of the archive", [{ name: "a/../../etc/passwd", content: "x" }, ...good], "leads out of it"],
  ["a device", [{ name: "pipe", type: "fifo" }, ...good], "neither a file, a folder nor a link"],
  ["a file twice", [...good, dockerManifest(configName, layerNames)], '"manifest.json" twice'],
  ["a layer twice", [...good, { name: layerNames[0] ?? "", content: image.layers[0] ?? "" }], "twice"],
  [
    "a manifest that is a link out of the archive",
    [...without("manifest.json"), { name: "manifest.json", type: "symlink", linkname: "../../etc/passwd" }],
    "leads out of it",
  ],
  [
    "links in a circle",
    [
      ...without("manifest.json"),
      { name: "manifest.json", type: "symlink", linkname: "b" },
      { name: "b", type: "symlink", linkname: "manifest.json" },
    ],
    "leads nowhere",
  ],
  ["no manifest", without("manifest.json"), "neither a manifest.json nor an index.json"],
  ["no config", without(configName), `has no file "${configName}"`],
  [
    "a manifest that is not JSON",
    [...without("manifest.json"), { name: "manifest.json", content: "[{" }],
    "manifest.json is not JSON",
  ],
  [
    "a manifest that is text",
    [...without("manifest.json"), { name: "manifest.json", content: "hello world" }],
    "not a manifest, an index or a config",
  ],
  [
    "a manifest of another form",
    [...without("manifest.json"), { name: "manifest.json", content: '{"Config":"a"}' }],
    "not a list",
  ],
  [
    "a manifest with null",
    [...without("manifest.json"), { name: "manifest.json", content: "[null]" }],
    "without config or layers",
  ],
  [
    "a manifest of nested lists",
    [...without("manifest.json"), { name: "manifest.json", content: "[".repeat(3_000_000) }],
    "not JSON",
  ],
  [
    "a manifest of 5 MB",
    [...without("manifest.json"), { name: "manifest.json", content: Buffer.alloc(5_000_000, "[") }],
    "larger than 4194304 bytes",
  ],
  [
    "10,000 layers in the manifest",
    [
      ...without("manifest.json"),
      dockerManifest(
        configName,
        thousands.map(() => layerNames[0] ?? ""),
      ),
    ],
    "more than 1000 layers",
  ],
  [
    "10,000 images",
    [
      ...without("manifest.json"),
      { name: "manifest.json", content: JSON.stringify(thousands.map(() => ({ Config: "a" }))) },
    ],
    "more than 1000 images",
  ],
  ["a huge config", [...without(configName), bigConfig], "is larger than 8388608 bytes"],
  [
    "a config of another digest than its name",
    [...without(configName), { name: configName, content: other.config }],
    /config .* has the digest sha256:/,
  ],
  [
    "a manifest with fewer layers than the config",
    [...without("manifest.json"), dockerManifest(configName, layerNames.slice(1))],
    "manifest.json names 3 layers, the image's config 4",
  ],
  ["another image", await savePodman(other), "no image with the layers of the saved one"],
  [
    "a layer of another digest",
    await savePodman({ ...image, layers: image.layers.with(2, other.layers[0] ?? Buffer.alloc(0)) }),
    /layer sha256:.* has the digest sha256:/,
  ],
  [
    "a config path that leads out of the archive",
    [...without("manifest.json"), dockerManifest("../config.json", layerNames)],
    "leads out of it",
  ],
];
test.each(table)("%s", async (_name, entries, message) => {
  const done = read(await makeTar(entries), image, { keeps: true });
  await expect(done).rejects.toThrow(message);
  await expect(done).rejects.toBeInstanceOf(InvalidImage);
});

const tar = await makeTar(good);
test.each([
  ["not a tar", Buffer.from("Internal Server Error".repeat(100)), "not a tar archive"],
  ["text shorter than a header", Buffer.from('{"message":"no such image"}'), "not a tar archive"],
  ["nothing", Buffer.alloc(0), "neither a manifest.json nor an index.json"],
  ["truncated within a layer", tar.subarray(0, 20_000), "not a tar archive, or a damaged one"],
  ["truncated within a header", tar.subarray(0, 300), "not a tar archive, or a damaged one"],
  ["truncated between entries", tar.subarray(0, 512 + (image.layers[0]?.length ?? 0)), "neither a manifest.json"],
  ["a file with a forged size of 8 GB", forgeSize(tar, 0, 8_000_000_000), "not a tar archive, or a damaged one"],
  ["a layer with a forged smaller size", forgeSize(tar, 0, 512), InvalidImage],
])("%s", async (_name, bytes, message) => {
  await expect(read(bytes, image)).rejects.toThrow(message);
  await expect(read(bytes, image)).rejects.toBeInstanceOf(InvalidImage);
});

test("does not store a config of a gigabyte", async () => {
  // The bytes are generated while they are read. If they were stored, they would exceed the limit below.
  const header = (await makeTar([{ name: configName, content: "x" }])).subarray(0, 512);
  const piece = Buffer.alloc(1024 * 1024, " ");
  piece[0] = 0x7b;
  const source = Readable.from(
    (function* () {
      yield forgeSize(header, 0, 1024 * 1024 * 1024);
      for (let count = 0; count < 1024; count += 1) yield Buffer.from(piece);
      yield Buffer.alloc(1024);
    })(),
    { objectMode: false },
  );
  await expect(read(source, image)).rejects.toThrow("neither a manifest.json");
  expect(process.memoryUsage().arrayBuffers).toBeLessThan(700 * 1024 * 1024);
});

test("rejects too many bytes of manifests", async () => {
  const config = configFor([]).config;
  const blobs = Array.from({ length: 9 }, (_, at) =>
    Buffer.concat([config, Buffer.alloc(8_000_000, " "), Buffer.from(" ".repeat(at))]),
  );
  await expect(read(await makeTar(blobEntries(blobs)), image)).rejects.toThrow("manifests and configs have more than");
});

test("does not store attestations of any size", async () => {
  const blobs = Array.from({ length: 9 }, (_, at) =>
    Buffer.from(`{"_type":"statement ${at}${" ".repeat(8_000_000)}"}`),
  );
  const entries = [...blobEntries(blobs), ...(await savePodman(image))];
  await expect(read(await makeTar(entries), image)).resolves.toMatchObject({ unrecognised: [] });
});

test("rejects too many entries", async () => {
  const header = (await makeTar([{ name: "folder", type: "directory" }])).subarray(0, 512);
  const source = Readable.from(
    (function* () {
      for (;;) yield Buffer.concat(Array.from({ length: 100 }, () => header));
    })(),
    { objectMode: false },
  );
  await expect(read(source, image)).rejects.toThrow("more than 100000 entries");
  expect(source.destroyed).toBe(true);
});

test("rejects descriptors of another image", async () => {
  const { descriptors } = ociBlobs(other, gzipped);
  await expect(read(tar, image, { descriptors })).rejects.toThrow("manifest names 1 layers, its config 4");
});

test("v1 folders with different constants cost only a few tries", async () => {
  const chain = chainIds(image.diffIds);
  const folders = Array.from({ length: 2000 }, (_, at): TestEntry[] => {
    const id = hexOf(digestOf(`${chain[0]}${at}`));
    return [{ name: `${id}/json`, content: JSON.stringify({ created: `${at}`, container_config: {} }) }];
  });
  await expect(read(await makeTar(folders.flat()), image)).rejects.toThrow("neither a manifest.json");
});
