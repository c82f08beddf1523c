import { absentLayer } from "../archive/absent-layer.ts";
import type { RandomAccessFiles } from "../archive/archive-files.ts";
import { chooseImage, type Candidate } from "../archive/choose-image.ts";
import { firstBytes } from "../archive/first-bytes.ts";
import type { ArchivedImage, ArchivedLayer, ImageArchive } from "../archive/image-archive.ts";
import { digestOf, type Digest } from "../digest.ts";
import { compressionOf, layerMediaType } from "../layer/compression.ts";
import { verifiedStream } from "../layer/verified-stream.ts";
import { digestInName, readDockerImage, readDockerManifest, type DockerImage } from "./docker-image.ts";

/**
 * Opens a docker archive: files with a manifest.json in any form that `docker save`, Podman or a build tool writes. Layers may be
 * compressed. Owns `files` when it resolves. Throws `InvalidImage`, and the file system's errors.
 */
export async function openDockerArchive(files: RandomAccessFiles): Promise<ImageArchive> {
  const items = await readDockerManifest(files);
  const candidates: Candidate<DockerImage>[] = items.map((item) => ({
    id: `${item.config} ${item.layers.join(" ")}`,
    names: item.names,
    read: async () => await readDockerImage(files, item),
  }));
  return {
    list: () => items.map(({ names }) => ({ names })),
    find: async (name, platform) => await withLayers(files, await chooseImage(candidates, name, platform)),
    close: files.close,
    [Symbol.asyncDispose]: files.close,
  };
}

/** Docker accepts an archive that lacks layers that it already has, or has empty files in their place. */
const EMPTY_FILE = digestOf("");

async function withLayers(files: RandomAccessFiles, image: DockerImage): Promise<ArchivedImage> {
  const layers: ArchivedLayer[] = [];
  for (const { diffId, path } of image.layers) {
    const size = await files.sizeOf(path);
    if (size === undefined || (size === 0 && diffId !== EMPTY_FILE)) {
      layers.push({
        diffId,
        blob: { mediaType: layerMediaType("none"), digest: diffId, size: 0 },
        ...absentLayer(path),
      });
      continue;
    }
    const compression = compressionOf(await firstBytes(files, path));
    const digest = compression === "none" ? diffId : blobDigest(path);
    const blob = { mediaType: layerMediaType(compression), size, ...(digest && { digest }) };
    layers.push({ diffId, blob, open: () => verifiedStream(files.open(path), { what: `layer ${diffId}`, ...blob }) });
  }
  return { ...image, layers };
}

/** Docker 25 and later name a blob's path by its digest; other names do not identify a compressed layer. */
function blobDigest(path: string): Digest | undefined {
  return path.startsWith("blobs/sha256/") ? digestInName(path) : undefined;
}
