import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { IndexContent } from "../index-content.ts";
import { writeTar, type FileToWrite, type TarStream } from "../tar/write-tar.ts";
import {
  blobPath,
  namedDescriptors,
  OCI_LAYOUT_FILE,
  writeIndex,
  type BlobFile,
  type LayoutName,
} from "./oci-layout.ts";
import { moveFile } from "./replace-file.ts";
import { writeBytes } from "./write-oci-folder.ts";

/** Writes an OCI archive of an index and its manifests, byte for byte. The caller must ensure that the target has the omitted blobs. */
export function writeIndexArchive(
  { root, manifests }: IndexContent,
  blobs: readonly BlobFile[],
  names: readonly (LayoutName | string)[],
): TarStream {
  const files: FileToWrite[] = [
    { path: "oci-layout", content: OCI_LAYOUT_FILE },
    { path: "index.json", content: writeIndex(namedDescriptors(root.descriptor, names)) },
    ...[root, ...manifests].map(({ bytes, descriptor }) => ({ path: blobPath(descriptor.digest), content: bytes })),
    ...blobs.map(({ digest, path, size }) => ({ path: blobPath(digest), file: path, size })),
  ];
  return writeTar(files);
}

/**
 * Writes an index and its manifests into a folder that is, or becomes, an OCI layout, and moves the files of blobs there. The image is not
 * visible before it is listed in index.json.
 *
 * @param runId used in the names of temporary files
 */
export async function writeIndexBlobs(
  folder: string,
  { root, manifests }: IndexContent,
  blobs: readonly BlobFile[],
  runId: string,
): Promise<void> {
  await mkdir(join(folder, "blobs", "sha256"), { recursive: true });
  for (const { digest, path, size } of blobs) await moveFile(path, join(folder, blobPath(digest)), size, runId);
  for (const { bytes, descriptor } of [...manifests, root]) {
    await writeBytes(folder, blobPath(descriptor.digest), bytes, runId);
  }
}
