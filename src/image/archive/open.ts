import type { ArchiveKind } from "../place.ts";
import type { ImageArchive } from "./image-archive.ts";
import { openDockerArchive } from "./open-docker-archive.ts";
import { openOciArchive, openOciLayout } from "./open-oci.ts";

const OPEN: Record<ArchiveKind, (path: string) => Promise<ImageArchive>> = {
  "docker-archive": openDockerArchive,
  oci: openOciLayout,
  "oci-archive": openOciArchive,
};

/** A file or folder that holds images. Throws `InvalidImage`, and the file system's errors. */
export async function openArchive(kind: ArchiveKind, path: string): Promise<ImageArchive> {
  return await OPEN[kind](path);
}
