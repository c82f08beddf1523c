import { InvalidImage, type Descriptor } from "../manifest.ts";
import { familiarName, InvalidReference, parseReference } from "../reference.ts";
import { blobPath, type Listing } from "./listing.ts";
import { readOciImage, type OciImage } from "./oci-images.ts";
import { IMAGE_NAME, isIndexType } from "./oci-layout.ts";

/**
 * A manifest.json that says of an OCI layout what its index says, as `docker save` writes it since Docker 25: with a graph driver,
 * Docker loads by it alone. Images without a whole reference, and those that are not there in full, are left out.
 */
export async function loadableManifest(files: Listing, manifests: readonly Descriptor[]): Promise<Buffer> {
  const items: object[] = [];
  for (const descriptor of manifests) {
    const tag = tagOf(descriptor.annotations?.[IMAGE_NAME]);
    if (tag === undefined || isIndexType(descriptor)) continue;
    const image = await read(files, descriptor);
    if (image !== undefined) items.push(loadableItem(image, tag));
  }
  return Buffer.from(JSON.stringify(items));
}

/** @param tag as engines take it: `app:v2` */
export function loadableItem({ configDigest, layers }: Pick<OciImage, "configDigest" | "layers">, tag: string): object {
  return {
    Config: blobPath(configDigest),
    RepoTags: [tag],
    Layers: layers.map(({ blob }) => blobPath(blob.digest)),
  };
}

async function read(files: Listing, descriptor: Descriptor): Promise<OciImage | undefined> {
  try {
    return await readOciImage(files, { names: [], descriptor, isHere: true });
  } catch (error) {
    if (error instanceof InvalidImage) return undefined;
    throw error;
  }
}

function tagOf(name: string | undefined): string | undefined {
  try {
    const reference = parseReference(name ?? "");
    return reference.tag === undefined ? undefined : familiarName(reference);
  } catch (error) {
    if (error instanceof InvalidReference) return undefined;
    throw error;
  }
}
