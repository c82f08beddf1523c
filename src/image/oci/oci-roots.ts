import type { ArchiveFiles } from "../archive/archive-files.ts";
import { ImageNotFound, WITHOUT_NAME } from "../archive/choose-image.ts";
import { imagesByName } from "../archive/images-by-name.ts";
import type { ArchivedName } from "../archived-name.ts";
import { isAttestation } from "../attestation.ts";
import type { Descriptor } from "../manifest.ts";
import { namesOf, readIndexFile } from "./oci-entries.ts";
import { readLayoutManifest } from "./read-blob.ts";

/** An image that index.json names directly: an index or the manifest of one image. */
interface Root {
  names: string[];
  descriptor: Descriptor;
}

/** The maximum number of names that a message lists. */
const MAX_SHOWN = 10;

/**
 * Finds the entry of index.json with a name, or its only image, and returns the bytes of the index or of the manifest of one image. Throws
 * {@link ImageNotFound} and `InvalidImage`.
 */
export async function readRoot(files: ArchiveFiles, name: ArchivedName | undefined): Promise<Buffer> {
  const roots = await listRoots(files);
  const found = name === undefined ? roots : imagesByName(roots, name);
  const [first] = found;
  if (first === undefined) {
    throw new ImageNotFound(name === undefined ? "it holds no image" : `it holds no image ${name.given}`);
  }
  if (found.length > 1) throw severalRoots(found, name);
  return (await readLayoutManifest(files, first.descriptor)).bytes;
}

async function listRoots(files: ArchiveFiles): Promise<Root[]> {
  const roots = new Map<string, Root>();
  for (const descriptor of (await readIndexFile(files)).entries) {
    if (descriptor === undefined || isAttestation(descriptor)) continue;
    const names = [...(roots.get(descriptor.digest)?.names ?? []), ...namesOf(descriptor)];
    roots.set(descriptor.digest, { names, descriptor });
  }
  return [...roots.values()];
}

function severalRoots(found: readonly Root[], name: ArchivedName | undefined): ImageNotFound {
  if (name !== undefined) {
    return new ImageNotFound(
      `it lists ${found.length} manifests as ${name.given}, and no index of them, whose digest could be kept`,
    );
  }
  const names = found.slice(0, MAX_SHOWN).map(({ names: [first = WITHOUT_NAME] }) => first);
  const images = names.join(", ") + (found.length > MAX_SHOWN ? ` and ${found.length - MAX_SHOWN} more` : "");
  return new ImageNotFound(`it holds ${found.length} images: choose one of ${images}`, "name", images);
}
