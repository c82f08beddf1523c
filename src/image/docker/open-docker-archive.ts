import type { DockerImage } from "./docker-images.ts";
import { digestInName, dockerManifest, readDockerImage } from "./docker-images.ts";
import { choose, type Candidate } from "../archive/choose.ts";
import { digestOf } from "../digest.ts";
import { absent } from "../archive/absent.ts";
import { compressionOf, layerMediaType } from "../layer/compression.ts";
import type { ArchivedImage, ArchivedLayer, ImageArchive } from "../archive/image-archive.ts";
import type { Files } from "../archive/listing.ts";
import { verifiedBytes } from "../layer/verify-digest.ts";
import { startOf } from "../archive/start-of.ts";

/**
 * What `docker save`, Podman or a build tool wrote: files with a manifest.json, in any of their forms, layers packed or not.
 * Owns `files` when it resolves. Throws `InvalidImage`, and the file system's errors.
 */
export async function dockerImages(files: Files): Promise<ImageArchive> {
  const items = await dockerManifest(files);
  const candidates: Candidate<DockerImage>[] = items.map((item) => ({
    id: `${item.config} ${item.layers.join(" ")}`,
    names: item.names,
    read: async () => await readDockerImage(files, item),
  }));
  return {
    list: () => items.map(({ names }) => ({ names })),
    find: async (reference, platform) => await describe(files, await choose(candidates, reference, platform)),
    close: files.close,
    [Symbol.asyncDispose]: files.close,
  };
}

/** Docker takes an archive without the layers that it has, and with empty files for them. */
const EMPTY_FILE = digestOf("");

async function describe(files: Files, image: DockerImage): Promise<ArchivedImage> {
  const layers: ArchivedLayer[] = [];
  for (const { diffId, path } of image.layers) {
    const size = await files.sizeOf(path);
    if (size === undefined || (size === 0 && diffId !== EMPTY_FILE)) {
      layers.push({ diffId, blob: { mediaType: layerMediaType("none"), digest: diffId, size: 0 }, ...absent(path) });
      continue;
    }
    const compression = compressionOf(await startOf(files, path));
    const digest = compression === "none" ? diffId : blobDigest(path);
    const blob = { mediaType: layerMediaType(compression), size, ...(digest && { digest }) };
    layers.push({ diffId, blob, open: () => verifiedBytes(files.open(path), { what: `layer ${diffId}`, ...blob }) });
  }
  return { ...image, layers };
}

/** In the form of Docker 25 and later the path is the blob's digest; elsewhere a name tells nothing of a packed layer. */
function blobDigest(path: string): string | undefined {
  return path.startsWith("blobs/sha256/") ? digestInName(path) : undefined;
}
