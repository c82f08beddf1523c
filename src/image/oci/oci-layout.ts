import { hexOf, type Digest } from "../digest.ts";
import { MEDIA_TYPE, type Descriptor } from "../manifest.ts";
import { fullName, tryReference } from "../reference.ts";

/** An image to write into an OCI layout. */
export interface OciLayoutToWrite {
  /** Byte for byte. */
  config: Uint8Array;
  manifest: { bytes: Uint8Array; descriptor: Descriptor };
  /** The stored layers to write. The target must have all others. */
  blobs: readonly BlobFile[];
  /** The image's names in the layout. May be empty. A reference is written as engines do. */
  names: readonly (LayoutName | string)[];
}

/** An image's name in an index. */
export interface LayoutName {
  /** Any text. In names of skopeo, buildah and kaniko, the part after the folder's colon (`org.opencontainers.image.ref.name`). */
  ref: string;
  /** A full reference. The name of the image after containerd, Docker or Podman has loaded it (`io.containerd.image.name`). */
  image?: string;
}

/** A blob in a file. */
export interface BlobFile {
  digest: Digest;
  path: string;
  /** Bytes. */
  size: number;
}

/** The content of the file `oci-layout`, which marks a folder as an OCI layout (OCI image spec, image-layout.md, "oci-layout file"). */
export const OCI_LAYOUT_FILE = Buffer.from('{"imageLayoutVersion":"1.0.0"}');

/** The annotations that name an image: containerd's and the OCI image spec's. */
export const IMAGE_NAME = "io.containerd.image.name";
export const REF_NAME = "org.opencontainers.image.ref.name";

/** Returns the path of a blob in an OCI layout (OCI image spec, image-layout.md, "Blobs"). */
export function blobPath(digest: Digest): string {
  return `blobs/sha256/${hexOf(digest)}`;
}

/** Returns an index's entries for a manifest: one descriptor for each name (OCI image spec, annotations.md). */
export function namedDescriptors(manifest: Descriptor, names: readonly (LayoutName | string)[]): Descriptor[] {
  if (names.length === 0) return [manifest];
  return names.map((name) => {
    const { image, ref } = typeof name === "string" ? engineName(name) : name;
    const own = { ...(image !== undefined && { [IMAGE_NAME]: image }), [REF_NAME]: ref };
    return { ...manifest, annotations: { ...manifest.annotations, ...own } };
  });
}

/** Names an image as engines do: with the full reference, and the tag alone as the short name. */
function engineName(name: string): LayoutName {
  const reference = tryReference(name);
  if (reference === undefined) return { ref: name }; // a layout may name an image with any text
  return { image: fullName(reference), ref: reference.tag ?? name };
}

export function isIndexType({ mediaType }: Descriptor): boolean {
  return mediaType === MEDIA_TYPE.ociIndex || mediaType === MEDIA_TYPE.dockerIndex;
}

export function writeIndex(manifests: readonly Descriptor[]): Buffer {
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests }));
}
