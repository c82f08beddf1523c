import { type Digest } from "../digest.ts";
import { MEDIA_TYPE, type Descriptor } from "../manifest.ts";
import { fullName, InvalidReference, parseReference } from "../reference.ts";

/** An image for an OCI layout. */
export interface OciLayoutToWrite {
  /** Byte for byte. */
  config: Uint8Array;
  manifest: { bytes: Uint8Array; descriptor: Descriptor };
  /** Layers that come along, as they are stored. Those that are left out the target must have. */
  blobs: readonly BlobFile[];
  /** References, as the target is to have them; may be none. */
  names: readonly string[];
}

export interface BlobFile {
  digest: Digest;
  /** Of a file that holds it. */
  path: string;
  /** Bytes. */
  size: number;
}

/** The file that says that a folder is an OCI layout (OCI image spec, image-layout.md, "oci-layout file"). */
export const OCI_LAYOUT = Buffer.from('{"imageLayoutVersion":"1.0.0"}');

/**
 * What an index says of a manifest: one descriptor for each name, as engines write it. containerd goes by the whole reference,
 * Podman too; others by the tag (OCI image spec, annotations.md, `org.opencontainers.image.ref.name`).
 */
export function namedDescriptors(manifest: Descriptor, names: readonly string[]): Descriptor[] {
  if (names.length === 0) return [manifest];
  return names.map((name) => ({ ...manifest, annotations: { ...manifest.annotations, ...nameAnnotations(name) } }));
}

export function writeIndex(manifests: readonly Descriptor[]): Buffer {
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests }));
}

function nameAnnotations(name: string): Record<string, string> {
  try {
    const reference = parseReference(name);
    return {
      "io.containerd.image.name": fullName(reference),
      "org.opencontainers.image.ref.name": reference.tag ?? name,
    };
  } catch (error) {
    if (!(error instanceof InvalidReference)) throw error;
    // A layout may name an image with any text.
    return { "org.opencontainers.image.ref.name": name };
  }
}
