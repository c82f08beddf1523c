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
import { UNKNOWN } from "../image/platform.ts";
import type { AvailableLayer } from "./store.ts";

/**
 * A manifest of layers as they are here. The one that was sent, if it names just these blobs and this config, so that the image
 * keeps its digest; else one that is composed of them.
 *
 * @param keeps it is to be kept even if it says of a blob that it is packed in another way than it is (--preserve-digest)
 */
export function manifestFor(
  config: Buffer,
  layers: readonly AvailableLayer[],
  sent: ImageManifest,
  { keeps = false } = {},
): EncodedManifest {
  const isOfThese =
    sent.layers.length === layers.length &&
    sent.layers.every(
      (blob, index) =>
        isLayerType(blob.mediaType) &&
        isSame(blob, layers[index]?.blob) &&
        (keeps ||
          compressionInMediaType(blob.mediaType) === compressionInMediaType(layers[index]?.blob?.mediaType ?? "")),
    );
  return isOfThese && sent.config.digest === digestOf(config) ? withDescriptor(sent) : composeManifest(config, layers);
}

/** A manifest that names, for each layer, the blob that is here or the one that comes along. */
export function composeManifest(config: Buffer, layers: readonly AvailableLayer[]): EncodedManifest {
  return encodeManifest({
    mediaType: MEDIA_TYPE.ociManifest,
    config: { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf(config), size: config.length },
    layers: layers.map(ociDescriptor),
  });
}

/** The config of an image that is nothing but layers: the lowest of another's, of which it proves or holds them. */
export function stackConfig(platform: string, diffIds: readonly Digest[]): Buffer {
  const [os, architecture, variant] = platform.split("/").map((part) => (part === UNKNOWN ? undefined : part));
  return Buffer.from(
    JSON.stringify({ architecture, os, variant, config: {}, rootfs: { type: "layers", diff_ids: diffIds } }),
  );
}

function isSame({ digest, size }: Descriptor, blob: Descriptor | undefined): boolean {
  return blob?.digest === digest && blob.size === size;
}

/** An OCI manifest names OCI media types; the bytes are the same. */
function ociDescriptor(layer: AvailableLayer): Descriptor {
  if (layer.blob === undefined) throw new Error("a layer that a manifest is to name, without a blob");
  const { digest, size, mediaType } = layer.blob;
  return { mediaType: OCI_TYPE.get(mediaType) ?? mediaType, digest, size };
}

const OCI_TYPE = new Map<string, string>([
  [MEDIA_TYPE.dockerLayerGzip, MEDIA_TYPE.ociLayerGzip],
  ["application/vnd.docker.image.rootfs.diff.tar", MEDIA_TYPE.ociLayer],
  ["application/vnd.docker.image.rootfs.diff.tar.zstd", MEDIA_TYPE.ociLayerZstd],
]);
