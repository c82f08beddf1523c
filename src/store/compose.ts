import { digestOf } from "../image/digest.ts";
import { MEDIA_TYPE, writeManifest, type Descriptor } from "../image/manifest.ts";
import type { LayerInHand } from "./store.ts";

/** An OCI manifest of layers as they are here: it names the blob of each, whatever the sender's manifest did. */
export function composeManifest(config: Buffer, layers: readonly LayerInHand[]) {
  return writeManifest({
    mediaType: MEDIA_TYPE.ociManifest,
    config: { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf(config), size: config.length },
    layers: layers.map(ociDescriptor),
  });
}

/** An OCI manifest names OCI media types; the bytes are the same. */
function ociDescriptor(layer: LayerInHand): Descriptor {
  if (layer.blob === undefined) throw new Error("a layer that a manifest is to name, without a blob");
  const { digest, size, mediaType } = layer.blob;
  return { mediaType: OCI_TYPE.get(mediaType) ?? mediaType, digest, size };
}

const OCI_TYPE = new Map<string, string>([
  [MEDIA_TYPE.dockerLayerGzip, MEDIA_TYPE.ociLayerGzip],
  ["application/vnd.docker.image.rootfs.diff.tar", MEDIA_TYPE.ociLayer],
  ["application/vnd.docker.image.rootfs.diff.tar.zstd", MEDIA_TYPE.ociLayerZstd],
]);
