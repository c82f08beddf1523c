/** An archive that lies to an honest sender. It is refused there, before anything is started, or at the receiver at the latest. */
import { open, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { digestOf, hexOf } from "../../../src/image/digest.ts";
import { MEDIA_TYPE } from "../../../src/image/manifest.ts";
import {
  configFor,
  dockerManifest,
  gzipped,
  index,
  makeImage,
  ociBlobs,
  plain,
  savePodman,
  type Pack,
} from "../image/make-image.ts";
import { forgeSize, makeTar, type TestEntry } from "../image/tar/make-tar.ts";
import { layoutOf, writeTree } from "../places/images.ts";
import { refused, told, folder, program, workplace } from "./run-program.ts";

const GB = 2 ** 30;
const image = await makeImage([3000, 70_000]);
const other = await makeImage([50, 600]);
const saved = await savePodman(image);
const layout = layoutOf([{ image, ref: "v1" }]);
const { manifest, descriptors } = ociBlobs(image, gzipped);
const configName = `${hexOf(digestOf(image.config))}.json`;
const layerNames = image.diffIds.map((diffId) => `${hexOf(diffId)}.tar`);
const [lowest = "", top = ""] = layerNames;
const blobPath = (digest: string): string => `blobs/sha256/${hexOf(digest)}`;
const [lowestBlob = "", topBlob = ""] = descriptors.map(({ digest }) => blobPath(digest));
const without = (entries: TestEntry[], ...names: string[]): TestEntry[] =>
  entries.filter(({ name }) => !names.includes(name));
const replaced = (entries: TestEntry[], name: string, entry: Omit<TestEntry, "name">): TestEntry[] => [
  { name, ...entry },
  ...without(entries, name),
];
const thousands = <T>(value: T): T[] => Array.from({ length: 10_000 }, () => value);

/** A layout whose manifest is another one. */
function manifested(change: (whole: { config: object; layers: object[] }) => object, ...more: Buffer[]): TestEntry[] {
  const changed = Buffer.from(JSON.stringify(change(JSON.parse(manifest.bytes.toString()) as never)));
  const descriptor = { mediaType: MEDIA_TYPE.ociManifest, digest: digestOf(changed), size: changed.length };
  const added = [changed, ...more].map((content) => ({ name: blobPath(digestOf(content)), content }));
  return [...without(layout, "index.json"), ...added, index([descriptor])];
}

/** A layer's blob of which everything is true but what it unpacks to. */
function packedAs(pack: Pack): TestEntry[] {
  const packed = pack(image.layers[1] ?? Buffer.alloc(0));
  const one = { mediaType: packed.mediaType, digest: digestOf(packed.blob), size: packed.blob.length };
  return manifested((whole) => ({ ...whole, layers: [whole.layers[0], one] }), packed.blob);
}

const itself = `sha256:${"0".repeat(64)}`;
const circle = Buffer.from(
  JSON.stringify({ manifests: [{ mediaType: MEDIA_TYPE.ociIndex, digest: itself, size: 149 }] }),
);
let deep = Buffer.from(JSON.stringify({ manifests: [manifest.descriptor] }));
const levels = [deep];
const indexOf = (bytes: Buffer) => ({ mediaType: MEDIA_TYPE.ociIndex, digest: digestOf(bytes), size: bytes.length });
for (let level = 0; level < 6; level++)
  levels.push((deep = Buffer.from(JSON.stringify({ manifests: [indexOf(deep)] }))));

let count = 0;
const newPath = (): string => join(folder, `evil-${++count}`);

async function tarFile(content: Buffer): Promise<string> {
  const path = newPath();
  await writeFile(path, content);
  return path;
}

async function layoutFolder(entries: TestEntry[]): Promise<string> {
  const path = newPath();
  await writeTree(path, entries);
  return path;
}

/** A tar whose first file is said to be of 1 GB, and is: a hole, which costs no disk. */
async function hugeFirst(entries: TestEntry[]): Promise<string> {
  const [head = { name: "" }, ...rest] = entries;
  const header = forgeSize((await makeTar([{ name: head.name, content: "x" }])).subarray(0, 512), 0, GB);
  const path = await tarFile(header);
  await truncate(path, 512 + GB);
  const file = await open(path, "a");
  await file.writeFile(await makeTar(rest));
  await file.close();
  return path;
}

/** Refused before the far side is started: what would be started is no docker-over-ssh. */
async function push(source: string): Promise<object> {
  const { run } = await workplace();
  return told(await run("push", source, "true"));
}

describe.concurrent("a docker archive", () => {
  test.each<[string, TestEntry[], number, RegExp]>([
    [
      "a name that leads up",
      [{ name: "a/../../../etc/cron.d/evil", content: "x" }, ...saved],
      3,
      /"a\/..\/..\/..\/etc\/cron.d\/evil", which leads out of it/,
    ],
    ["a folder that leads up", [{ name: "../evil/", type: "directory" }, ...saved], 3, /leads out of it/],
    [
      "a layer that is a link up",
      replaced(saved, top, { type: "symlink", linkname: "../../../etc/passwd" }),
      12,
      /link ".*" leads out of it, to "..\/..\/..\/etc\/passwd"/,
    ],
    [
      "a layer that is an absolute link",
      replaced(saved, top, { type: "symlink", linkname: "/etc/passwd" }),
      12,
      /leads out of it, to "\/etc\/passwd"/,
    ],
    [
      "a config that is a hard link out",
      replaced(saved, configName, { type: "link", linkname: "../../etc/passwd" }),
      12,
      /leads out of it/,
    ],
    [
      "a manifest that is a link out",
      replaced(saved, "manifest.json", { type: "link", linkname: "../etc/passwd" }),
      3,
      /leads out of it/,
    ],
    [
      "links in a circle",
      [...replaced(saved, top, { type: "symlink", linkname: "b" }), { name: "b", type: "symlink", linkname: top }],
      12,
      /link ".*" leads nowhere/,
    ],
    ["a pipe", [...saved, { name: "pipe", type: "fifo" }], 3, /neither a file, a folder nor a link/],
    [
      "the same layer twice",
      [...saved, { name: lowest, content: other.layers[0] ?? "" }],
      3,
      /the archive has ".*" twice/,
    ],
    ["two manifests", [...saved, dockerManifest(configName, [])], 3, /the archive has "manifest.json" twice/],
    ["the same name in two ways", [...saved, { name: `./${lowest}`, content: "x" }], 3, /the archive has ".*" twice/],
    [
      "a manifest with 10,000 layers",
      [...without(saved, "manifest.json"), dockerManifest(configName, thousands(lowest))],
      3,
      /more than 1000 layers/,
    ],
    [
      "a manifest with 10,000 images",
      replaced(saved, "manifest.json", { content: JSON.stringify(thousands({ Config: "a" })) }),
      3,
      /more than 1000 images/,
    ],
    [
      "a config with 10,000 layers",
      [
        { name: "c.json", content: configFor(thousands(Buffer.alloc(0))).config },
        ...without(saved, "manifest.json"),
        dockerManifest("c.json", [lowest]),
      ],
      12,
      /its config has no list of layers/,
    ],
    [
      "a config path that leads out",
      [...without(saved, "manifest.json"), dockerManifest("../../etc/passwd", layerNames)],
      3,
      /leads out of it/,
    ],
    [
      "a config of another digest",
      replaced(saved, configName, { content: other.config }),
      12,
      /the config ".*" has the digest sha256:/,
    ],
    [
      "a layer less than the config",
      [...without(saved, "manifest.json"), dockerManifest(configName, [lowest])],
      12,
      /names 1 layers, the image's config 2/,
    ],
  ])("with %s", async (_, entries, status, words) => {
    expect(await push(`docker-archive:${await tarFile(await makeTar(entries))}`)).toEqual(refused(status, words));
  });

  test.each<[string, (tar: Buffer) => Buffer, RegExp]>([
    ["cut off", (tar) => tar.subarray(0, tar.length / 2), /ends in the middle of/],
    ["with a file that is larger than the archive", (tar) => forgeSize(tar, 0, 2 ** 32), /ends in the middle of/],
    ["with a file that is smaller than it is", (tar) => forgeSize(tar, 0, 512), /not a tar archive, or a damaged one/],
    [
      "compressed as a whole, and cut off",
      (tar) => gzipSync(tar).subarray(0, 3000),
      /the whole file is compressed with gzip/,
    ],
  ])("%s", async (_, change, words) => {
    expect(await push(`docker-archive:${await tarFile(change(await makeTar(saved)))}`)).toEqual(refused(3, words));
  });

  test("with a config of 1 GB", async () => {
    const path = await hugeFirst([{ name: configName }, ...without(saved, configName)]);
    expect(await push(`docker-archive:${path}`)).toEqual(refused(12, /larger than 8388608 bytes/));
  });

  test("with a manifest of 1 GB", async () => {
    const path = await hugeFirst([{ name: "manifest.json" }, ...without(saved, "manifest.json")]);
    expect(await push(`docker-archive:${path}`)).toEqual(refused(3, /larger than 4194304 bytes/));
  });
});

describe.concurrent("an OCI layout", () => {
  test.each<[string, TestEntry[], number, RegExp]>([
    [
      "an index that points at itself",
      [
        ...replaced(
          layout,
          "index.json",
          index([{ mediaType: MEDIA_TYPE.ociIndex, digest: itself, size: circle.length }]),
        ),
        { name: blobPath(itself), content: circle },
      ],
      12,
      /has the digest|its descriptor says/,
    ],
    [
      "indexes within indexes",
      [
        ...without(layout, "index.json"),
        ...levels.map((content) => ({ name: blobPath(digestOf(content)), content })),
        index([indexOf(deep)]),
      ],
      3,
      /nested more than 4 levels deep/,
    ],
    [
      "an index of 50,001",
      [...without(layout, "index.json"), index(Array.from({ length: 50_001 }, () => manifest.descriptor))],
      3,
      /more than 50000 manifests/,
    ],
    [
      "a digest that is a path",
      [...without(layout, "index.json"), index([{ ...manifest.descriptor, digest: "sha256:../../../etc/passwd" }])],
      3,
      /malformed/,
    ],
    [
      "a manifest with 10,000 layers",
      manifested((whole) => ({ ...whole, layers: thousands(whole.layers[0]) })),
      12,
      /more than 1000 layers/,
    ],
    [
      "a manifest's size that lies",
      [...without(layout, "index.json"), index([{ ...manifest.descriptor, size: manifest.descriptor.size + 1 }])],
      12,
      /its descriptor says/,
    ],
    [
      "a config's size that lies",
      manifested((whole) => ({ ...whole, config: { ...whole.config, size: 5 } })),
      12,
      /its descriptor says 5/,
    ],
    [
      "a layer's size that lies",
      manifested((whole) => ({ ...whole, layers: whole.layers.map((layer) => ({ ...layer, size: 5 })) })),
      12,
      /its descriptor says 5/,
    ],
    [
      "a config of another digest",
      layout.map((entry) =>
        entry.content === image.config ? { ...entry, content: Buffer.alloc(image.config.length, " ") } : entry,
      ),
      12,
      /has the digest sha256:/,
    ],
    [
      "a layer less than the config",
      manifested((whole) => ({ ...whole, layers: whole.layers.slice(1) })),
      12,
      /names 1 layers, its config 2/,
    ],
  ])("with %s", async (_, entries, status, words) => {
    expect(await push(`oci:${await layoutFolder(entries)}`)).toEqual(refused(status, words));
  });

  test("in a tar: with a layer's size that lies", async () => {
    const small = manifested((whole) => ({ ...whole, layers: whole.layers.map((layer) => ({ ...layer, size: 5 })) }));
    const path = await tarFile(await makeTar(small));
    expect(await push(`oci-archive:${path}`)).toEqual(refused(12, /its descriptor says 5/));
  });

  test("with a config of 1 GB, as a folder and as a tar", async () => {
    const huge = manifested((whole) => ({ ...whole, config: { ...whole.config, digest: itself, size: GB } }));
    const path = await layoutFolder([...huge, { name: blobPath(itself), content: "" }]);
    await truncate(join(path, blobPath(itself)), GB);
    expect(await push(`oci:${path}`)).toEqual(refused(12, /larger than 8388608 bytes/));
    expect(await push(`oci-archive:${await hugeFirst([{ name: blobPath(itself) }, ...huge])}`)).toEqual(
      refused(12, /larger than 8388608/),
    );
  });

  test.skipIf(process.platform === "win32")("with a blob that is a device without end", async () => {
    const path = await layoutFolder(layout);
    await rm(join(path, topBlob));
    await symlink("/dev/zero", join(path, topBlob));
    expect(await push(`oci:${path}`)).toEqual(refused(12, /is not a file/));
  });

  test("with blobs that have each other's names", async () => {
    const path = await layoutFolder(layoutOf([{ image: { ...image, layers: image.layers }, ref: "v1" }]));
    await rename(join(path, lowestBlob), join(path, "x"));
    await rename(join(path, topBlob), join(path, lowestBlob));
    await rename(join(path, "x"), join(path, topBlob));
    expect(await push(`oci:${path}`)).toEqual(refused(12, /its descriptor says/));
  });
});

describe.concurrent("layers, which are looked at when they are sent,", () => {
  const half = gzipSync(image.layers[1] ?? "").subarray(0, -100);
  const zeros = Buffer.alloc(GB / 8);
  const bombImage = { layers: [zeros], ...configFor([zeros]) };
  const tar = async (entries: TestEntry[]): Promise<string> =>
    `docker-archive:${await tarFile(await makeTar(entries))}`;
  const oci = async (entries: TestEntry[]): Promise<string> => `oci:${await layoutFolder(entries)}`;

  test.each<[string, () => Promise<string>, number, RegExp, string[]?]>([
    [
      "a plain layer of another digest",
      async () => await tar(replaced(saved, top, { content: Buffer.alloc(image.layers[1]?.length ?? 0) })),
      12,
      /has the digest sha256:/,
    ],
    [
      "a blob of another digest",
      async () => await oci(replaced(layout, topBlob, { content: Buffer.alloc(descriptors[1]?.size ?? 0) })),
      12,
      /is damaged|is not what it should be/,
    ],
    [
      "truncated gzip in a docker archive",
      async () => await tar(replaced(saved, top, { content: half })),
      12,
      /cannot be decompressed: unexpected end of file/,
    ],
    [
      "truncated gzip with a digest of its own",
      async () => await oci(packedAs(() => ({ blob: half, mediaType: MEDIA_TYPE.ociLayerGzip }))),
      12,
      /cannot be decompressed: unexpected end of file/,
    ],
    [
      "a blob that unpacks to another layer",
      async () => await oci(packedAs(() => gzipped(other.layers[0] ?? Buffer.alloc(0)))),
      12,
      /the uncompressed layer .* has the digest/,
    ],
    [
      "a type that is none",
      async () => await oci(packedAs((layer) => ({ blob: layer, mediaType: "text/html" }))),
      12,
      /media type "text\/html", which is not a tar/,
    ],
    [
      "a packed type that is none",
      async () => await oci(packedAs((layer) => ({ ...gzipped(layer), mediaType: "text/html" }))),
      12,
      /media type "text\/html", which is not a tar/,
    ],
    [
      "a zip bomb against --max-size",
      async () => await oci(layoutOf([{ image: bombImage, ref: "v1" }])),
      13,
      /larger than the 10485760 bytes/,
      ["--max-size", "10m"],
    ],
    [
      "a plain bomb against --max-size",
      async () => await oci(layoutOf([{ image: bombImage, ref: "v1" }], plain)),
      13,
      /larger than the 10485760 bytes/,
      ["--max-size", "10m"],
    ],
  ])("%s", async (_, source, status, words, options = []) => {
    const { run } = await workplace();
    const pull = [...program, "pull", ...options, "--to", "oci:target", "app:v1"];
    expect(told(await run("push", await source(), ...pull))).toEqual(refused(status, words));
  });
});
