import { buffer } from "node:stream/consumers";
import { temporaryName } from "../run/run-id.ts";
import { withVerifiedStream } from "../image/layer/verified-stream.ts";
import { digestOf, type Digest } from "../image/digest.ts";
import { type Descriptor } from "../image/manifest.ts";
import { readManifest } from "../store/read-manifest.ts";
import { saveBlobs, type SavedBlob } from "../store/save-blobs.ts";
import type { EngineOfferOptions } from "./found-image.ts";
import type { OutgoingBlobs } from "./outgoing-blobs.ts";
import { MAX_CONFIG } from "../image/config.ts";

/**
 * Takes just the wanted layers out of a containerd store, as they are stored there, by its API alone: for an engine that cannot
 * push to this process. False when it does not give them all.
 */
export async function exportWithPartialSave(outgoing: OutgoingBlobs, options: EngineOfferOptions): Promise<boolean> {
  const { engine, image, info, want, runs } = options;
  const name = temporaryName("localhost", `${image.path}/blobs`, runs);
  const manifest = await readManifest(engine, info, name);
  if (manifest?.layers.length !== info.diffIds.length || manifest.config.size > MAX_CONFIG) return false;
  const wanted = new Map<Digest, { diffId: Digest; blob: Descriptor }>();
  for (const [index, blob] of manifest.layers.entries()) {
    const diffId = info.diffIds[index] ?? "";
    if (want.diffIds.includes(diffId) && !outgoing.has(diffId)) wanted.set(blob.digest, { diffId, blob });
  }
  let config: Buffer | undefined;
  const blobs = [manifest.config, ...[...wanted.values()].map(({ blob }) => blob)];
  for await (const passing of saveBlobs(engine, blobs, name)) {
    const layer = wanted.get(passing.digest);
    if (layer !== undefined) await shelve(outgoing, layer, passing);
    else if (passing.digest === manifest.config.digest) config = await whole(passing);
  }
  if (config === undefined || want.diffIds.some((diffId) => !outgoing.has(diffId))) return false;
  outgoing.finish(config);
  return true;
}

async function shelve(
  outgoing: OutgoingBlobs,
  { diffId, blob }: { diffId: Digest; blob: Descriptor },
  { digest, chunks }: SavedBlob,
): Promise<void> {
  const { size } = blob;
  await withVerifiedStream(chunks(), { what: `layer ${diffId}`, digest, size }, async (stream) => {
    if (digest === diffId) await outgoing.pack(diffId, size, stream);
    else await outgoing.take(diffId, blob, stream);
  });
}

async function whole({ digest, chunks }: SavedBlob): Promise<Buffer | undefined> {
  const bytes = await buffer(chunks());
  return digestOf(bytes) === digest ? bytes : undefined;
}
