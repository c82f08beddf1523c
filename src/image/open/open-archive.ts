import { stat } from "node:fs/promises";
import { openDockerArchive } from "../docker/open-docker-archive.ts";
import type { ArchiveKind } from "../location.ts";
import { openOciLayout } from "../oci/open-oci-layout.ts";
import { openTarFiles } from "../archive/tar-files.ts";
import type { RandomAccessFiles } from "../archive/archive-files.ts";
import { openFolderFiles } from "../archive/folder-files.ts";
import { isPartialArchive, openPartialArchive } from "../partial/open-partial-archive.ts";
import type { ImageArchive } from "../archive/image-archive.ts";

/**
 * Opens a file or folder of images in its actual format, because users name one format and pass another. If an archive has both formats, as
 * `docker save` writes since Docker 25, the named format `kind` decides.
 * Throws `InvalidImage`, and the file system's errors.
 */
export async function openArchive(kind: ArchiveKind, path: string): Promise<ImageArchive> {
  const isFolder = (await stat(path)).isDirectory();
  const files = isFolder ? openFolderFiles(path) : await openTarFiles(path);
  try {
    if (await isPartialArchive(files)) return await openPartialArchive(files);
    if (!(await isDockerArchive(files, kind))) return await openOciLayout(files);
    return await openDockerArchive(isFolder ? openFolderFiles(path, { within: true }) : files);
  } catch (error) {
    await files.close();
    throw error;
  }
}

async function isDockerArchive(files: RandomAccessFiles, kind: ArchiveKind): Promise<boolean> {
  const has = async (path: string): Promise<boolean> => (await files.sizeOf(path)) !== undefined;
  if (kind === "docker-archive") return (await has("manifest.json")) || !(await has("oci-layout"));
  return !(await has("oci-layout")) && (await has("manifest.json"));
}
