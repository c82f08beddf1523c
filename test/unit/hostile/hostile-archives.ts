/** Docker archives and OCI layouts, and their files, which a test changes for an attack. */
import { open, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { digestOf, hexOf } from "../../../src/image/digest.ts";
import { MEDIA_TYPE } from "../../../src/image/manifest.ts";
import { gzipped, index, makeImage, ociBlobs, savePodman, type Pack } from "../image/make-image.ts";
import { forgeSize, makeTar, type TestEntry } from "../image/tar/make-tar.ts";
import { layoutOf, writeTree } from "../command-line/images.ts";
import { folder, makeWorkspace, outcome } from "./run-program.ts";

export const GB = 2 ** 30;
export const image = await makeImage([3000, 70_000]);
export const other = await makeImage([50, 600]);
export const saved = await savePodman(image);
export const layout = layoutOf([{ image, ref: "v1" }]);
/** The files of the layout. */
export const { manifest, descriptors } = ociBlobs(image, gzipped);
export const configName = `${hexOf(digestOf(image.config))}.json`;
export const layerNames = image.diffIds.map((diffId) => `${hexOf(diffId)}.tar`);
export const [lowest = "", top = ""] = layerNames;
export const blobPath = (digest: string): string => `blobs/sha256/${hexOf(digest)}`;
export const [lowestBlob = "", topBlob = ""] = descriptors.map(({ digest }) => blobPath(digest));
export const without = (entries: TestEntry[], ...names: string[]): TestEntry[] =>
  entries.filter(({ name }) => !names.includes(name));
export const replaced = (entries: TestEntry[], name: string, entry: Omit<TestEntry, "name">): TestEntry[] => [
  { name, ...entry },
  ...without(entries, name),
];
export const thousands = <T>(value: T): T[] => Array.from({ length: 10_000 }, () => value);

/** Returns a layout with a changed manifest. */
export function withManifest(
  change: (whole: { config: object; layers: object[] }) => object,
  ...more: Buffer[]
): TestEntry[] {
  const changed = Buffer.from(JSON.stringify(change(JSON.parse(manifest.bytes.toString()) as never)));
  const descriptor = { mediaType: MEDIA_TYPE.ociManifest, digest: digestOf(changed), size: changed.length };
  const added = [changed, ...more].map((content) => ({ name: blobPath(digestOf(content)), content }));
  return [...without(layout, "index.json"), ...added, index([descriptor])];
}

/** Returns a layout with one layer in this stored form. Everything except its diff ID is correct. */
export function withStoredLayer(pack: Pack): TestEntry[] {
  const packed = pack(image.layers[1] ?? Buffer.alloc(0));
  const one = { mediaType: packed.mediaType, digest: digestOf(packed.blob), size: packed.blob.length };
  return withManifest((whole) => ({ ...whole, layers: [whole.layers[0], one] }), packed.blob);
}

let count = 0;
const newPath = (): string => join(folder, `hostile-${++count}`);

export async function tarFile(content: Buffer): Promise<string> {
  const path = newPath();
  await writeFile(path, content);
  return path;
}

export async function layoutFolder(entries: TestEntry[]): Promise<string> {
  const path = newPath();
  await writeTree(path, entries);
  return path;
}

/** Writes a tar whose first file is a hole of 1 GB, which takes no disk space. */
export async function hugeFirst(entries: TestEntry[]): Promise<string> {
  const [head = { name: "" }, ...rest] = entries;
  const header = forgeSize((await makeTar([{ name: head.name, content: "x" }])).subarray(0, 512), 0, GB);
  const path = await tarFile(header);
  await truncate(path, 512 + GB);
  const file = await open(path, "a");
  await file.writeFile(await makeTar(rest));
  await file.close();
  return path;
}

/** Pushes to a command that is not docker-over-ssh, because the archive is rejected before the command is started. */
export async function push(source: string): Promise<object> {
  const { run } = await makeWorkspace();
  return outcome(await run("push", source, "true"));
}
