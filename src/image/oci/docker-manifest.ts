import type { Digest } from "../digest.ts";
import { type Descriptor } from "../manifest.ts";
import { InvalidReference, parseReference } from "../reference.ts";
import { type ArchiveFiles } from "../archive/archive-files.ts";
import { readImageManifest } from "./oci-image.ts";
import { IMAGE_NAME, isIndexType, blobPath } from "./oci-layout.ts";
import { mapConcurrently } from "../../streams/map-concurrently.ts";
import { InvalidImage } from "../invalid-image.ts";

/** An image of a layout. */
export interface DockerManifestImage {
  configDigest: Digest;
  /** Of its blobs, bottom first. */
  layers: readonly Digest[];
  /** A whole reference, if it has one. */
  name: string | undefined;
}

/**
 * A manifest.json that says of an OCI layout what its index says, as `docker save` writes it since Docker 25: an engine with a
 * graph driver loads by it alone. Images without a name are left out: they would be loaded as well, and be found by nobody.
 */
export function writeDockerManifest(images: readonly DockerManifestImage[]): Buffer {
  return joined(images.map(loadableItem));
}

/** The same, of the images that an index leads to. Those that are not what it says are left out. `onBytes` hears that it gets on. */
export async function writeDockerManifestFor(
  files: ArchiveFiles,
  manifests: readonly Descriptor[],
  onBytes?: (count: number) => void,
): Promise<Buffer> {
  const named = manifests.filter((one) => one.annotations?.[IMAGE_NAME] !== undefined && !isIndexType(one));
  const items: string[] = []; // as texts: of 20,000 images, what was parsed would take four times the memory
  for await (const image of mapConcurrently(named, async (one) => await loadableImage(files, one))) {
    if (image === undefined) continue;
    const item = loadableItem(image);
    onBytes?.(item.length);
    items.push(item);
  }
  return joined(items);
}

/** Empty for one without a name. */
function loadableItem({ configDigest, layers, name }: DockerManifestImage): string {
  if (!isTag(name)) return "";
  return JSON.stringify({ Config: blobPath(configDigest), RepoTags: [name], Layers: layers.map(blobPath) });
}

function joined(items: readonly string[]): Buffer {
  return Buffer.from(`[${items.filter((item) => item !== "").join(",")}]`);
}

/** Its manifest says all of it. A config that is not there would keep an engine from all that the archive has. */
async function loadableImage(files: ArchiveFiles, descriptor: Descriptor): Promise<DockerManifestImage | undefined> {
  try {
    const manifest = await readImageManifest(files, descriptor);
    if (manifest === undefined) return undefined;
    const { config, layers } = manifest.parsed;
    if ((await files.sizeOf(blobPath(config.digest))) !== config.size) return undefined;
    const name = descriptor.annotations?.[IMAGE_NAME];
    return { configDigest: config.digest, layers: layers.map(({ digest }) => digest), name };
  } catch (error) {
    if (error instanceof InvalidImage) return undefined;
    throw error;
  }
}

function isTag(name: string | undefined): boolean {
  try {
    return parseReference(name ?? "").tag !== undefined;
  } catch (error) {
    if (error instanceof InvalidReference) return false;
    throw error;
  }
}
