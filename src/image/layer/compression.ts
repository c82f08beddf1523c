import { InvalidImage, MEDIA_TYPE } from "../manifest.ts";

/** How a layer is packed. Engines write the first three; the others can be told, and no more. */
export type Compression = "none" | "gzip" | "zstd" | "bzip2" | "xz";

/** Bytes at the start of a layer that tell how it is packed. */
export const MAGIC_LENGTH = 6;

const MAGIC: [Compression, number[]][] = [
  ["gzip", [0x1f, 0x8b, 0x08]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  ["bzip2", [0x42, 0x5a, 0x68]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
];

/** Tells by the first {@link MAGIC_LENGTH} bytes, which is what engines go by, whatever the media type says. */
export function compressionOf(start: Uint8Array): Compression {
  return MAGIC.find(([, magic]) => magic.every((byte, index) => start[index] === byte))?.[0] ?? "none";
}

/** The OCI media type of a layer that is packed so. */
export function layerMediaType(compression: Compression): string {
  if (compression === "gzip") return MEDIA_TYPE.ociLayerGzip;
  return compression === "none" ? MEDIA_TYPE.ociLayer : `${MEDIA_TYPE.ociLayer}+${compression}`;
}

/**
 * The media type of a layer that begins so: the one that it was said to have, unless its packing is another one than that says. Builders
 * write `+gzip` for plain tars, and readers that go by the type fail with those.
 */
export function correctMediaType(said: string, start: Uint8Array): string {
  const compression = compressionOf(start);
  return compressionInMediaType(said) === compression ? said : layerMediaType(compression);
}

/** How a layer of this media type says that it is packed. */
export function compressionInMediaType(mediaType: string): string {
  return /[.+](gzip|zstd)$/.exec(mediaType)?.[1] ?? "none";
}

/**
 * Is this the media type of a layer's tar, packed or not (OCI image spec, layer.md; Docker's image manifest v2 schema 2)?
 * Not so for what else a manifest may list: attestations, signatures, encrypted layers.
 */
export function isLayerType(mediaType: string): boolean {
  return /^application\/vnd\.(?:oci\.image\.layer(?:\.nondistributable)?\.v1|docker\.image\.rootfs(?:\.foreign)?\.diff)\.tar(?:[+.](?:gzip|zstd))?$/.test(
    mediaType,
  );
}

/** Throws `InvalidImage` for a layer of another media type. */
export function refuseNonLayerType(mediaType: string): void {
  if (isLayerType(mediaType)) return;
  const shown = JSON.stringify(mediaType.slice(0, 120));
  throw new InvalidImage(`it has a layer of the media type ${shown}, which is not a tar`);
}
