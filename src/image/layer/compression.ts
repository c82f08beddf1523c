import { InvalidImage } from "../invalid-image.ts";
import { MEDIA_TYPE } from "../manifest.ts";

/** The compression of a layer or an archive. Engines write the first three; the others are only recognised. */
export type Compression = "none" | "gzip" | "zstd" | "bzip2" | "xz";

/** The number of bytes at the start of a file that identify its compression. */
export const MAGIC_LENGTH = 6;

const MAGIC: [Compression, number[]][] = [
  ["gzip", [0x1f, 0x8b, 0x08]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  ["bzip2", [0x42, 0x5a, 0x68]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
];

/** Determines the compression of a file by its first {@link MAGIC_LENGTH} bytes, as engines do. The media type does not matter. */
export function compressionOf(start: Uint8Array): Compression {
  return MAGIC.find(([, magic]) => magic.every((byte, index) => start[index] === byte))?.[0] ?? "none";
}

/** Returns the OCI media type of a layer with this compression. */
export function layerMediaType(compression: Compression): string {
  if (compression === "gzip") return MEDIA_TYPE.ociLayerGzip;
  return compression === "none" ? MEDIA_TYPE.ociLayer : `${MEDIA_TYPE.ociLayer}+${compression}`;
}

/**
 * Returns a layer's media type corrected by its first bytes: the declared one, unless it names another compression. Some builders declare
 * `+gzip` for uncompressed tars, and readers that trust the media type fail on them.
 */
export function correctMediaType(declared: string, start: Uint8Array): string {
  const compression = compressionOf(start);
  return compressionInMediaType(declared) === compression ? declared : layerMediaType(compression);
}

/** Returns the compression that a layer's media type declares. */
export function compressionInMediaType(mediaType: string): string {
  return /[.+](gzip|zstd)$/.exec(mediaType)?.[1] ?? "none";
}

/**
 * Returns whether this is the media type of a layer's tar, compressed or not (OCI image spec, layer.md; Docker's image manifest v2 schema
 * 2). A manifest may also list attestations, signatures and encrypted layers, which have other types.
 */
export function isLayerType(mediaType: string): boolean {
  return /^application\/vnd\.(?:oci\.image\.layer(?:\.nondistributable)?\.v1|docker\.image\.rootfs(?:\.foreign)?\.diff)\.tar(?:[+.](?:gzip|zstd))?$/.test(
    mediaType,
  );
}

/** Throws `InvalidImage` for a media type that is not a layer's. */
export function refuseNonLayerType(mediaType: string): void {
  if (isLayerType(mediaType)) return;
  const shown = JSON.stringify(mediaType.slice(0, 120));
  throw new InvalidImage(`it has a layer of the media type ${shown}, which is not a tar`);
}
