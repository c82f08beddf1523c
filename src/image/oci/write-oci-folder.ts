import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { digestOf } from "../digest.ts";
import type { Descriptor } from "../manifest.ts";
import { openFolderFiles } from "../archive/folder-files.ts";
import { parseIndexFile, writeIndexFile } from "./index-file.ts";
import { addIndexEntries } from "./add-index-entries.ts";
import { writeDockerManifestFor } from "./write-docker-manifest.ts";
import { readIndexFile } from "./oci-entries.ts";
import { namedDescriptors, OCI_LAYOUT_FILE, writeIndex, type OciLayoutToWrite, blobPath } from "./oci-layout.ts";
import { moveFile, replaceFile } from "./replace-file.ts";

/**
 * Writes an image's blobs into a folder that is, or becomes, an OCI layout (OCI image spec, image-layout.md). Each blob appears completely
 * or not at all. Moves the verified files of layers if the file system allows it, and replaces blobs with the same name, which may be
 * damaged. The image is not visible before {@link addImageToIndex}.
 *
 * @param runId used in the names of temporary files, which end with `.RUN.part`
 */
export async function writeImageBlobs(
  folder: string,
  { config, manifest, blobs }: Omit<OciLayoutToWrite, "names">,
  runId: string,
): Promise<void> {
  await mkdir(join(folder, "blobs", "sha256"), { recursive: true });
  const each = new Map(blobs.map((blob) => [blob.digest, blob])); // an image may have a layer twice
  for (const { digest, path, size } of each.values()) await moveFile(path, join(folder, blobPath(digest)), size, runId);
  await writeBytes(folder, blobPath(digestOf(config)), config, runId);
  await writeBytes(folder, blobPath(manifest.descriptor.digest), manifest.bytes, runId);
}

/**
 * Adds an image to a layout's index.json and manifest.json under these names, which then lead only to this image ({@link addIndexEntries}).
 * Replaces index.json last and atomically: even after a crash, a reader finds either the old state or the new one. Not safe for concurrent
 * writers. `onBytes` receives the progress: bytes of the manifests of all named images.
 *
 * Throws `InvalidImage` for an index.json that is invalid or full, and the file system's errors. Writes nothing in these cases.
 */
export async function addImageToIndex(
  folder: string,
  manifest: Descriptor,
  names: OciLayoutToWrite["names"],
  runId: string,
  onBytes?: (count: number) => void,
): Promise<void> {
  const files = openFolderFiles(folder);
  const exists = (await files.sizeOf("index.json")) !== undefined;
  const { raw, entries } = exists ? await readIndexFile(files) : parseIndexFile(writeIndex([]));
  const before = raw.manifests.map((entry, at) => ({ raw: entry, descriptor: entries[at] }));
  const after = addIndexEntries(before, namedDescriptors(manifest, names));
  const index = writeIndexFile({ ...raw, manifests: after.map((entry) => entry.raw) });
  const readable = after.flatMap(({ descriptor }) => descriptor ?? []);
  const dockerManifest = await writeDockerManifestFor(files, readable, onBytes);
  await writeBytes(folder, "oci-layout", OCI_LAYOUT_FILE, runId);
  await replaceFile(join(folder, "manifest.json"), dockerManifest, runId);
  await replaceFile(join(folder, "index.json"), index, runId);
}

/** Writes a small blob into a layout, unless it already contains the same bytes. Replaces a blob that cannot be read. */
export async function writeBytes(folder: string, path: string, bytes: Uint8Array, runId: string): Promise<void> {
  const present = await openFolderFiles(folder)
    .read(path, bytes.length)
    .catch(() => undefined);
  if (present?.equals(bytes) !== true) await replaceFile(join(folder, path), bytes, runId);
}
