import type { EngineContent } from "../engine/engine-content.ts";
import type { EngineImages, ImageInfo } from "../engine/engine-images.ts";
import { entryMatchesPlatform } from "../image/platform.ts";
import { InvalidImage } from "../image/invalid-image.ts";
import { isDigest, type Digest } from "../image/digest.ts";
import { isIndex, MAX_MANIFEST, parseManifest, parseImageManifest, type ImageManifest } from "../image/manifest.ts";
import { saveSmallBlob } from "./save-blobs.ts";

/**
 * Reads the raw manifest of an image in a containerd store: from the content store if the engine gives access to it (5 ms), else with
 * {@link saveSmallBlob} (100 ms and 5 kB).
 *
 * @param id the ID of the image. In a containerd store, this is the digest of its manifest, or of an index that refers to it
 * @param name a temporary name, which is removed
 * @returns undefined if the engine does not have it
 */
export async function readManifest(
  engine: EngineImages & EngineContent,
  { id, platform }: Pick<ImageInfo, "id" | "platform">,
  name: string,
): Promise<ImageManifest | undefined> {
  if (!isDigest(id)) return undefined;
  const content = await engine.contentStore();
  const read = async (digest: Digest): Promise<Buffer | undefined> =>
    await (content === undefined ? saveSmallBlob(engine, digest, name) : content.readSmall(digest, MAX_MANIFEST));
  const root = await read(id);
  if (root === undefined) return undefined;
  try {
    const found = parseManifest(root);
    if (!isIndex(found)) return { ...found, bytes: root };
    const entry = found.manifests.find((one) => entryMatchesPlatform(one, platform));
    const bytes = entry === undefined ? undefined : await read(entry.digest);
    return bytes && parseImageManifest(bytes);
  } catch (error) {
    if (error instanceof InvalidImage) return undefined;
    throw error;
  }
}
