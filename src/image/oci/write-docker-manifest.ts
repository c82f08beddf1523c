import { mapConcurrently } from "../../streams/map-concurrently.ts";
import type { ArchiveFiles } from "../archive/archive-files.ts";
import type { Digest } from "../digest.ts";
import { undefinedIfInvalid } from "../invalid-image.ts";
import type { Descriptor } from "../manifest.ts";
import { tryReference } from "../reference.ts";
import { readImageManifest } from "./oci-image.ts";
import { blobPath, IMAGE_NAME, isIndexType } from "./oci-layout.ts";

/** An image of an OCI layout, for the layout's manifest.json. */
export interface DockerManifestImage {
  configDigest: Digest;
  /** The digests of the layers' blobs, bottom first. */
  layers: readonly Digest[];
  /** A full reference, if the image has one. */
  name: string | undefined;
}

/**
 * Writes the manifest.json of an OCI layout, as `docker save` does since Docker 25, because an engine with a graph driver reads no index.
 * Omits images without a name: the engine would load them, and no name would lead to them.
 */
export function writeDockerManifest(images: readonly DockerManifestImage[]): Buffer {
  return jsonArray(images.map(itemJson));
}

/** Writes the manifest.json for the images that an index names. Omits images that contradict the index. `onBytes` receives the progress. */
export async function writeDockerManifestFor(
  files: ArchiveFiles,
  manifests: readonly Descriptor[],
  onBytes?: (count: number) => void,
): Promise<Buffer> {
  const named = manifests.filter(
    (manifest) => manifest.annotations?.[IMAGE_NAME] !== undefined && !isIndexType(manifest),
  );
  const items: string[] = []; // as text: parsed, 20,000 images need four times the memory
  for await (const image of mapConcurrently(
    named,
    async (manifest) => await undefinedIfInvalid(readImage(files, manifest)),
  )) {
    if (image === undefined) continue;
    const item = itemJson(image);
    onBytes?.(item.length);
    items.push(item);
  }
  return jsonArray(items);
}

/** Returns an image's entry, "" for an image without a tag. */
function itemJson({ configDigest, layers, name = "" }: DockerManifestImage): string {
  if (tryReference(name)?.tag === undefined) return "";
  return JSON.stringify({ Config: blobPath(configDigest), RepoTags: [name], Layers: layers.map(blobPath) });
}

function jsonArray(items: readonly string[]): Buffer {
  return Buffer.from(`[${items.filter((item) => item !== "").join(",")}]`);
}

/**
 * Reads an image's manifest. Returns undefined for an image without a config: a missing config makes an engine refuse the whole archive.
 */
async function readImage(files: ArchiveFiles, descriptor: Descriptor): Promise<DockerManifestImage | undefined> {
  const manifest = await readImageManifest(files, descriptor);
  if (manifest === undefined) return undefined;
  const { config, layers } = manifest.parsed;
  if ((await files.sizeOf(blobPath(config.digest))) !== config.size) return undefined;
  const name = descriptor.annotations?.[IMAGE_NAME];
  return { configDigest: config.digest, layers: layers.map(({ digest }) => digest), name };
}
