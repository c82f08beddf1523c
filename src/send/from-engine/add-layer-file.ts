import type { SpooledLayer } from "../../engine-push/dry-push.ts";
import type { OutgoingLayers } from "../outgoing-layers.ts";

/**
 * Adds a layer from the engine to the outgoing blobs, and owns its file. Packs a plain layer, which a containerd store may have, and
 * removes its file when the receiver has read it.
 */
export async function addLayerFile(outgoing: OutgoingLayers, layer: SpooledLayer, mediaType: string): Promise<void> {
  const { diffId, digest, size } = layer;
  if (outgoing.has(diffId)) return await layer.remove();
  if (digest !== diffId) return await outgoing.addStored(diffId, { mediaType, digest, size }, layer);
  await outgoing.addPlainStream(diffId, size, await layer.open());
  await layer.remove();
}
