import type { ArchiveFiles } from "../archive/archive-files.ts";
import type { ImageConfig } from "../config.ts";
import type { Digest } from "../digest.ts";
import { InvalidImage } from "../invalid-image.ts";
import { listOciEntries } from "../oci/oci-entries.ts";
import { readOciImage } from "../oci/oci-image.ts";
import { blobPath } from "../oci/oci-layout.ts";
import { bestPlatformMatches, isSamePlatform, type Platform } from "../platform.ts";
import { readDockerImage, readDockerManifest } from "./docker-image.ts";

/** An image in an archive of either format. */
export interface FoundSavedImage extends ImageConfig {
  names: string[];
  config: Buffer;
  configDigest: Digest;
  layers: { diffId: Digest; path: string }[];
}

/**
 * Finds the image with exactly these layers. An image that only copies files into `scratch` has the same layers for every platform. Among
 * such variants, returns the one that runs best on `platform`. Throws `InvalidImage` with the first error of an image in the archive as its
 * cause.
 */
export async function findSavedImage(
  files: ArchiveFiles,
  diffIds: readonly Digest[],
  platform?: Platform,
): Promise<FoundSavedImage> {
  const found: FoundSavedImage[] = [];
  let cause: unknown;
  for await (const read of imagesOf(files)) {
    try {
      const image = await read();
      if (image?.diffIds.join() !== diffIds.join()) continue;
      if (platform === undefined || isSamePlatform(image.platform, platform)) return image;
      found.push(image);
    } catch (error) {
      // Engines save the variants that they have, some of them incompletely. An incomplete variant is not the saved image.
      if (!(error instanceof InvalidImage)) throw error;
      cause ??= error;
    }
  }
  const [image] = [...(platform === undefined ? [] : bestPlatformMatches(found, platform)), ...found];
  if (image !== undefined) return image;
  const why = cause instanceof InvalidImage ? `: ${cause.message}` : "";
  throw new InvalidImage(`the archive holds no image with the layers of the saved one${why}`, { cause });
}

async function* imagesOf(files: ArchiveFiles): AsyncGenerator<() => Promise<FoundSavedImage | undefined>> {
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
