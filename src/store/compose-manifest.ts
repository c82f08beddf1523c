import { isLayerType, compressionInMediaType } from "../image/layer/compression.ts";
import { digestOf, type Digest } from "../image/digest.ts";
import {
  withDescriptor,
  MEDIA_TYPE,
  encodeManifest,
  type Descriptor,
  type ImageManifest,
  type EncodedManifest,
} from "../image/manifest.ts";
import { UNKNOWN, type Platform } from "../image/platform.ts";
import type { AvailableLayer } from "./store.ts";

/**
 * Returns a manifest for a config and the blobs of its layers: the sender's manifest if it names exactly these, so that the image keeps its
 * digest; else a composed manifest.
 *
 * @param preserve use the sender's manifest even if its media types misstate the compression of a blob (--preserve-digest)
 */
export function manifestFor(
  config: Buffer,
  layers: readonly AvailableLayer[],
  sent: ImageManifest,
  { preserve = false } = {},
): EncodedManifest {
  const namesThese =
    sent.layers.length === layers.length &&
    sent.layers.every(
      (blob, index) =>
        isLayerType(blob.mediaType) &&
        isSame(blob, layers[index]?.blob) &&
        (preserve ||
          compressionInMediaType(blob.mediaType) === compressionInMediaType(layers[index]?.blob?.mediaType ?? "")),
    );
  return namesThese && sent.config.digest === digestOf(config) ? withDescriptor(sent) : composeManifest(config, layers);
}

/** Composes a manifest from the blobs of the layers. */
export function composeManifest(config: Buffer, layers: readonly AvailableLayer[]): EncodedManifest {
  return encodeManifest({
    mediaType: MEDIA_TYPE.ociManifest,
    config: { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf(config), size: config.length },
    layers: layers.map(ociDescriptor),
  });
}

/** Returns the config of an image that consists of layers only, such as the lowest layers of another image. */
export function layersOnlyConfig(platform: Platform, diffIds: readonly Digest[]): Buffer {
  const [os, architecture] = [platform.os, platform.architecture].map((part) => (part === UNKNOWN ? undefined : part));
  const { variant } = platform;
  return Buffer.from(
    JSON.stringify({ architecture, os, variant, config: {}, rootfs: { type: "layers", diff_ids: diffIds } }),
  );
}

function isSame({ digest, size }: Descriptor, blob: Descriptor | undefined): boolean {
  return blob?.digest === digest && blob.size === size;
}

/** Replaces the Docker media type of a layer by that of the OCI spec; the bytes are the same. */
function ociDescriptor(layer: AvailableLayer): Descriptor {
  if (layer.blob === undefined) throw new Error("a layer of the manifest has no blob");
  const { digest, size, mediaType } = layer.blob;
  return { mediaType: OCI_TYPE.get(mediaType) ?? mediaType, digest, size };
}

const OCI_TYPE = new Map<string, string>([
  [MEDIA_TYPE.dockerLayerGzip, MEDIA_TYPE.ociLayerGzip],
  ["application/vnd.docker.image.rootfs.diff.tar", MEDIA_TYPE.ociLayer],
  ["application/vnd.docker.image.rootfs.diff.tar.zstd", MEDIA_TYPE.ociLayerZstd],
]);
