import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { checkLayout, checkSaved, readTar, type SavedImage } from "../../matrix/saved-image.ts";
import { MEDIA_TYPE } from "../../../src/image/manifest.ts";
import { blobEntries, gzipped, index, LAYOUT, ociBlobs, type Pack, type TestImage } from "../image/make-image.ts";
import { makeTar, type TestEntry } from "../image/tar/make-tar.ts";
import { digestOf } from "../../../src/image/digest.ts";

export async function writeTree(folder: string, entries: TestEntry[]): Promise<void> {
  for (const { name, content } of entries) {
    if (content === undefined) continue;
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), content);
  }
}

export async function writeTar(path: string, entries: TestEntry[]): Promise<void> {
  await writeFile(path, await makeTar(entries));
}

/** Returns a layout as buildah, kaniko and ko write it: gzip layers, and at most one name per image. */
export function layoutOf(
  images: { image: TestImage; ref?: string; platform?: object }[],
  pack: Pack = gzipped,
): TestEntry[] {
  const all = images.map(({ image, ref, platform }) => {
    const { blobs, manifest } = ociBlobs(image, pack);
    const annotations = ref === undefined ? {} : { annotations: { "org.opencontainers.image.ref.name": ref } };
    return { blobs, entry: { ...manifest.descriptor, ...annotations, ...(platform && { platform }) } };
  });
  return [...blobEntries(all.flatMap(({ blobs }) => blobs)), index(all.map(({ entry }) => entry)), LAYOUT];
}

/** Returns a layout with one image for several platforms: an index within the index, as buildx writes it. */
export function multiPlatformLayout(images: Record<string, TestImage>, ref: string): TestEntry[] {
  const all = Object.entries(images).map(([platform, image]) => {
    const [os, architecture, variant] = platform.split("/");
    const { blobs, manifest } = ociBlobs(image, gzipped);
    return { blobs, entry: { ...manifest.descriptor, platform: { os, architecture, ...(variant && { variant }) } } };
  });
  const nested = Buffer.from(index(all.map(({ entry }) => entry)).content ?? "");
  const descriptor = { mediaType: MEDIA_TYPE.ociIndex, digest: digestOf(nested), size: nested.length };
  const annotations = { "org.opencontainers.image.ref.name": ref };
  return [
    ...blobEntries([nested, ...all.flatMap(({ blobs }) => blobs)]),
    index([{ ...descriptor, annotations }]),
    LAYOUT,
  ];
}

/** Reads the image at a location, and lists its faults. The reader shares no code with `src`. */
export async function look(
  kind: "oci" | "oci-archive" | "docker-archive",
  path: string,
  name?: string,
): Promise<SavedImage> {
  if (kind === "oci") return checkLayout(await readTree(path), name);
  const files = await readTar(await readFile(path));
  return kind === "oci-archive" ? checkLayout(files, name) : checkSaved(files);
}

/** Reads all files of a folder. Returns them by their relative paths. */
export async function readTree(folder: string): Promise<Map<string, Buffer>> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = found.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const files = paths.map(async (path): Promise<[string, Buffer]> => [
    path.slice(folder.length + 1),
    await readFile(path),
  ]);
  return new Map(await Promise.all(files));
}

/** Returns the result of {@link look} for an intact image. */
export function whole({ config, diffIds }: TestImage): SavedImage {
  return { configDigest: digestOf(config), diffIds, faults: [] };
}
