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
  /** As the target is to have them; may be none. A reference is written as engines write it. */
  names: readonly (LayoutName | string)[];
}

/** What an index calls an image. */
export interface LayoutName {
  /** Any text: skopeo, buildah and kaniko look for it behind the folder's colon (`org.opencontainers.image.ref.name`). */
  ref: string;
  /** A whole reference: what containerd, Docker and Podman name an image when they load it (`io.containerd.image.name`). */
  image?: string;
}

export interface BlobFile {
  digest: Digest;
  /** Of a file that holds it. */
  path: string;
  /** Bytes. */
  size: number;
}

/** The file that says that a folder is an OCI layout (OCI image spec, image-layout.md, "oci-layout file"). */
export const OCI_LAYOUT_FILE = Buffer.from('{"imageLayoutVersion":"1.0.0"}');

export const IMAGE_NAME = "io.containerd.image.name";
export const REF_NAME = "org.opencontainers.image.ref.name";

/** What an index says of a manifest: one descriptor for each name (OCI image spec, annotations.md). */
export function namedDescriptors(manifest: Descriptor, names: readonly (LayoutName | string)[]): Descriptor[] {
  if (names.length === 0) return [manifest];
  return names.map((name) => {
    const { image, ref } = typeof name === "string" ? engineName(name) : name;
    const own = { ...(image !== undefined && { [IMAGE_NAME]: image }), [REF_NAME]: ref };
    return { ...manifest, annotations: { ...manifest.annotations, ...own } };
  });
}

/** The tag alone is the short name. */
function engineName(name: string): LayoutName {
  try {
    const reference = parseReference(name);
    return { image: fullName(reference), ref: reference.tag ?? name };
  } catch (error) {
    if (!(error instanceof InvalidReference)) throw error;
    return { ref: name }; // a layout may name an image with any text
  }
}

export function isIndexType({ mediaType }: Descriptor): boolean {
  return mediaType === MEDIA_TYPE.ociIndex || mediaType === MEDIA_TYPE.dockerIndex;
}

export function writeIndex(manifests: readonly Descriptor[]): Buffer {
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests }));
}
