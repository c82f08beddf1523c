import type { Digest } from "../digest.ts";
import { InvalidImage, type Descriptor } from "../manifest.ts";
import { InvalidReference, parseReference } from "../reference.ts";
import { blobPath, type Listing } from "./listing.ts";
import { readOciImage } from "./oci-images.ts";
import { IMAGE_NAME, isIndexType } from "./oci-layout.ts";

/** An image of a layout. */
export interface LoadableImage {
  configDigest: Digest;
  layers: readonly { blob: { digest: Digest } }[];
  /** A whole reference, if it has one. */
  name: string | undefined;
}

/**
 * A manifest.json that says of an OCI layout what its index says, as `docker save` writes it since Docker 25: an engine with a
 * graph driver loads by it alone. Images without a name are left out: they would be loaded as well, and be found by nobody.
 */
export function writeLoadable(images: readonly LoadableImage[]): Buffer {
  const items = images.flatMap(({ configDigest, layers, name }) => {
    const Layers = layers.map(({ blob }) => blobPath(blob.digest));
    return isTag(name) ? [{ Config: blobPath(configDigest), RepoTags: [name], Layers }] : [];
  });
  return Buffer.from(JSON.stringify(items));
}

/** The images that an index leads to, as {@link writeLoadable} needs them. Those that are not what it says are left out. */
export async function loadableImages(files: Listing, manifests: readonly Descriptor[]): Promise<LoadableImage[]> {
  const images: LoadableImage[] = [];
  for (const descriptor of manifests) {
    const name = descriptor.annotations?.[IMAGE_NAME];
    if (name === undefined || isIndexType(descriptor)) continue;
    try {
      const image = await readOciImage(files, { names: [], descriptor, isHere: true });
      if (image !== undefined) images.push({ ...image, name });
    } catch (error) {
      if (!(error instanceof InvalidImage)) throw error;
    }
  }
  return images;
}

function isTag(name: string | undefined): boolean {
  try {
    return parseReference(name ?? "").tag !== undefined;
  } catch (error) {
    if (error instanceof InvalidReference) return false;
    throw error;
  }
}
