import type { EngineBuilder } from "../engine/engine-builder.ts";
import type { EngineImages, ImageInfo } from "../engine/engine-images.ts";
import { entryMatchesPlatform } from "../image/platform.ts";
import { InvalidImage } from "../image/invalid-image.ts";
import { isDigest, type Digest } from "../image/digest.ts";
import { isIndex, MAX_MANIFEST, parseManifest, parseImageManifest, type ImageManifest } from "../image/manifest.ts";
import { saveSmallBlob } from "./save-blobs.ts";

/**
 * The manifest of an image in a containerd store, byte for byte: from its content store where that can be asked (5 ms), else as
 * {@link saveSmallBlob} gives it (100 ms and 5 kB), which works wherever the API reaches.
 *
 * @param id there, it is the digest of the image's manifest, or of an index that leads to it
 * @param name a name that nobody else uses; gone when this settles
 * @returns undefined when the engine does not give it
 */
export async function readManifest(
  engine: EngineImages & EngineBuilder,
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
