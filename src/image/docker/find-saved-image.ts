import type { Digest } from "../digest.ts";
import { InvalidImage } from "../invalid-image.ts";
import type { ImageConfig } from "../config.ts";
import { blobPath } from "../oci/oci-layout.ts";
import { bestPlatformMatches } from "../platform.ts";
import { readDockerManifest, readDockerImage } from "./docker-image.ts";
import { type ArchiveFiles } from "../archive/archive-files.ts";
import { listOciEntries, readOciImage } from "../oci/oci-image.ts";

/** An image of an archive, however that tells of it. */
export interface FoundImage extends ImageConfig {
  names: string[];
  config: Buffer;
  configDigest: Digest;
  layers: { diffId: Digest; path: string }[];
}

/**
 * The image with exactly these layers. What is copied into nothing for several platforms has the same ones for each: of such
 * variants, the one that runs best on `platform`. Throws `InvalidImage`; its cause is what is wrong with the images that are there.
 */
export async function findSavedImage(
  files: ArchiveFiles,
  diffIds: readonly Digest[],
  platform?: string,
): Promise<FoundImage> {
  const found: FoundImage[] = [];
  let cause: unknown;
  for await (const read of images(files)) {
    try {
      const image = await read();
      if (image?.diffIds.join() !== diffIds.join()) continue;
      if (platform === undefined || image.platform === platform) return image;
      found.push(image);
    } catch (error) {
      // Of an image for many platforms, engines save what they have: one that is not here in full is not the one.
      if (!(error instanceof InvalidImage)) throw error;
      cause ??= error;
    }
  }
  const [image] = [...bestPlatformMatches(found, platform ?? ""), ...found];
  if (image !== undefined) return image;
  const why = cause instanceof InvalidImage ? `: ${cause.message}` : "";
  throw new InvalidImage(`the archive holds no image with the layers of the one that was saved${why}`, { cause });
}

async function* images(files: ArchiveFiles): AsyncGenerator<() => Promise<FoundImage | undefined>> {
  const hasManifest = (await files.sizeOf("manifest.json")) !== undefined;
  if (hasManifest) {
    for (const item of await readDockerManifest(files)) yield async () => await readDockerImage(files, item);
  }
  if ((await files.sizeOf("index.json")) !== undefined) {
    for (const entry of await listOciEntries(files)) {
      yield async () => {
        const image = await readOciImage(files, entry);
        if (image === undefined) return undefined;
        const { manifest: _, layers, ...rest } = image;
        return { ...rest, layers: layers.map(({ diffId, blob }) => ({ diffId, path: blobPath(blob.digest) })) };
      };
    }
  } else if (!hasManifest) throw new InvalidImage("the archive has neither a manifest.json nor an index.json");
}
