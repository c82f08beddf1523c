import { once } from "node:events";
import type { DockerImage } from "./docker-images.ts";
import { digestInName, dockerManifest, readDockerImage } from "./docker-images.ts";
import { choose, type Candidate } from "./choose.ts";
import { compressionOf, layerMediaType, MAGIC_LENGTH } from "./compression.ts";
import type { ArchivedImage, ArchivedLayer, ImageArchive } from "./image-archive.ts";
import { notThere, type Files } from "./listing.ts";
import { proven } from "./prove.ts";
import { openTarFiles } from "./tar-files.ts";

/**
 * A file that `docker save`, Podman or a build tool wrote: a tar with a manifest.json, in any of their forms, layers packed
 * or not. Throws `InvalidImage`, and the file system's errors.
 */
export async function openDockerArchive(path: string): Promise<ImageArchive> {
  const files = await openTarFiles(path);
  try {
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
  } catch (error) {
    await files.close();
    throw error;
  }
}

async function describe(files: Files, image: DockerImage): Promise<ArchivedImage> {
  const layers: ArchivedLayer[] = [];
  for (const { diffId, path } of image.layers) {
    const size = await files.sizeOf(path);
    if (size === undefined) throw notThere(path);
    const compression = compressionOf(await startOf(files, path));
    const digest = compression === "none" ? diffId : blobDigest(path);
    const blob = { mediaType: layerMediaType(compression), size, ...(digest && { digest }) };
    layers.push({ diffId, blob, open: () => proven(files.open(path), { what: `layer ${diffId}`, ...blob }) });
  }
  return { ...image, layers };
}

/** In the form of Docker 25 and later the path is the blob's digest; elsewhere a name tells nothing of a packed layer. */
function blobDigest(path: string): string | undefined {
  return path.startsWith("blobs/sha256/") ? digestInName(path) : undefined;
}

async function startOf(files: Files, path: string): Promise<Buffer> {
  const stream = files.open(path);
  try {
    await once(stream, "readable");
    return (stream.read(MAGIC_LENGTH) ?? stream.read() ?? Buffer.alloc(0)) as Buffer;
  } finally {
    stream.destroy();
  }
}
