import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { digestOf } from "../digest.ts";
import type { Descriptor } from "../manifest.ts";
import { openFolderFiles } from "../archive/folder-files.ts";
import { parseIndexFile, writeIndexFile } from "./index-file.ts";
import { addIndexEntries } from "./add-index-entries.ts";
import { writeDockerManifestFor } from "./docker-manifest.ts";
import { readIndexFile } from "./oci-image.ts";
import { namedDescriptors, OCI_LAYOUT_FILE, writeIndex, type OciLayoutToWrite, blobPath } from "./oci-layout.ts";
import { moveFile, replaceFile } from "./replace-file.ts";

/**
 * Puts an image's blobs into a folder that is, or becomes, an OCI layout (OCI image spec, image-layout.md). Each appears whole or
 * not at all. The files that come along, which have been proven, are moved where the file system can do that, over whatever had the blob's
 * name: that may have been damaged. Nobody finds the image before it is listed.
 *
 * @param run tells the files that are not whole yet from others: they end with `.RUN.part`
 */
export async function writeImageBlobs(
  folder: string,
  { config, manifest, blobs }: Omit<OciLayoutToWrite, "names">,
  run: string,
): Promise<void> {
  await mkdir(join(folder, "blobs", "sha256"), { recursive: true });
  const each = new Map(blobs.map((blob) => [blob.digest, blob])); // an image may have a layer twice
  for (const { digest, path, size } of each.values()) await moveFile(path, join(folder, blobPath(digest)), size, run);
  await putBytes(folder, blobPath(digestOf(config)), config, run);
  await putBytes(folder, blobPath(manifest.descriptor.digest), manifest.bytes, run);
}

/**
 * Gives an image of the folder names, in its index. What else is in there stays, but for these names, which lead to one image
 * ({@link addIndexEntries}).
 * The index is replaced at once and last, so that whoever reads meanwhile, or after a crash, finds the old state or the new
 * one. Not for two writers at once. `onBytes` hears of what is read for that: the manifests of all images that have a name.
 *
 * Throws `InvalidImage` when the folder has an index.json that is none, or has no room for one more, and the file system's errors.
 * Nothing has been written then.
 */
export async function addImageToIndex(
  folder: string,
  manifest: Descriptor,
  names: OciLayoutToWrite["names"],
  run: string,
  onBytes?: (count: number) => void,
): Promise<void> {
  const files = openFolderFiles(folder);
  const isThere = (await files.sizeOf("index.json")) !== undefined;
  const { raw, entries } = isThere ? await readIndexFile(files) : parseIndexFile(writeIndex([]));
  const before = raw.manifests.map((entry, at) => ({ raw: entry, descriptor: entries[at] }));
  const after = addIndexEntries(before, namedDescriptors(manifest, names));
  const index = writeIndexFile({ ...raw, manifests: after.map((entry) => entry.raw) });
  const readable = after.flatMap(({ descriptor }) => descriptor ?? []);
  const loadable = await writeDockerManifestFor(files, readable, onBytes);
  await putBytes(folder, "oci-layout", OCI_LAYOUT_FILE, run);
  await replaceFile(join(folder, "manifest.json"), loadable, run);
  await replaceFile(join(folder, "index.json"), index, run);
}

/** Small ones are compared. What cannot be read, or is no file, is as good as another. */
async function putBytes(folder: string, path: string, bytes: Uint8Array, run: string): Promise<void> {
  const there = await openFolderFiles(folder)
    .read(path, bytes.length)
    .catch(() => undefined);
  if (there?.equals(bytes) !== true) await replaceFile(join(folder, path), bytes, run);
}
