import type { UploadedLayer } from "../engine-push/probe-image.ts";
import type { OutgoingBlobs } from "./outgoing-blobs.ts";

/** A layer that the engine has pushed. What it pushed plain, as a containerd store may have it, is packed for the way. */
export async function addPushedLayer(outgoing: OutgoingBlobs, layer: UploadedLayer, mediaType: string): Promise<void> {
  const { diffId, digest, size } = layer;
  if (outgoing.has(diffId)) return await layer.remove();
  if (digest !== diffId) return await outgoing.keep(diffId, { mediaType, digest, size }, layer);
  await outgoing.pack(diffId, size, await layer.open());
  await layer.remove();
}
