import { buffer } from "node:stream/consumers";
import { temporaryName } from "../../run/run-id.ts";
import { withVerifiedStream } from "../../image/layer/verified-stream.ts";
import { digestOf, type Digest } from "../../image/digest.ts";
import { MAX_CONFIG } from "../../image/config.ts";
import type { Descriptor, ImageManifest } from "../../image/manifest.ts";
import { readManifest } from "../../store/read-manifest.ts";
import { saveBlobs, type SavedBlob } from "../../store/save-blobs.ts";
import type { EngineOfferOptions } from "./engine-offer-options.ts";
import type { OutgoingLayers } from "../outgoing-layers.ts";

/**
 * Exports the wanted layers from a containerd store as they are stored: loads an image that names only these blobs under a temporary
 * name, and saves it. Needs no access from the engine to this process. Returns false if the engine does not save all of the layers.
 */
export async function exportWithPartialSave(outgoing: OutgoingLayers, options: EngineOfferOptions): Promise<boolean> {
  const { engine, image, info, want, runIds } = options;
  const name = temporaryName("localhost", `${image.path}/blobs`, runIds);
  const manifest = await readManifest(engine, info, name);
  if (manifest?.layers.length !== info.diffIds.length || manifest.config.size > MAX_CONFIG) return false;
  const wanted = wantedBlobs(manifest, outgoing, options);
  let config: Buffer | undefined;
  const blobs = [manifest.config, ...[...wanted.values()].map(({ blob }) => blob)];
  for await (const saved of saveBlobs(engine, blobs, name)) {
    const layer = wanted.get(saved.digest);
    if (layer !== undefined) await addLayer(outgoing, layer, saved);
    else if (saved.digest === manifest.config.digest) config = await readVerified(saved);
  }
  if (config === undefined || want.diffIds.some((diffId) => !outgoing.has(diffId))) return false;
  outgoing.finish(config);
  return true;
}

interface WantedBlob {
  diffId: Digest;
  blob: Descriptor;
}

function wantedBlobs(
  { layers }: ImageManifest,
  outgoing: OutgoingLayers,
  { info, want }: EngineOfferOptions,
): Map<Digest, WantedBlob> {
  const wanted = new Map<Digest, WantedBlob>();
  for (const [index, blob] of layers.entries()) {
    const diffId = info.diffIds[index] ?? "";
    if (want.diffIds.includes(diffId) && !outgoing.has(diffId)) wanted.set(blob.digest, { diffId, blob });
  }
  return wanted;
}

async function addLayer(
  outgoing: OutgoingLayers,
  { diffId, blob }: WantedBlob,
  { digest, chunks }: SavedBlob,
): Promise<void> {
  const { size } = blob;
  await withVerifiedStream(chunks(), { what: `layer ${diffId}`, digest, size }, async (stream) => {
    if (digest === diffId) await outgoing.addPlainStream(diffId, size, stream);
    else await outgoing.addStoredStream(diffId, blob, stream);
  });
}

/** Reads a small blob. Returns undefined if it does not match its digest. */
async function readVerified({ digest, chunks }: SavedBlob): Promise<Buffer | undefined> {
  const bytes = await buffer(chunks());
  return digestOf(bytes) === digest ? bytes : undefined;
}
