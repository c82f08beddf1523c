import { once } from "node:events";
import { readSavedImage, type SavedImage } from "../../image/docker/read-saved-image.ts";
import { Failure } from "../../output/errors.ts";
import { lazySpool } from "../../run/spool.ts";
import type { EngineOfferOptions } from "./engine-offer-options.ts";
import type { OutgoingLayers } from "../outgoing-layers.ts";
import { UnidentifiedBlobs } from "./unidentified-blobs.ts";

/**
 * Exports the wanted layers while `docker save` of the whole image is read. Layers of a containerd store arrive as the stored blobs.
 * Resolves when the receiver has read the layers that were streamed. If some layers are in files, waits until `options.signal` is aborted
 * because the receiver fetches nothing more, and removes the files.
 */
export async function exportWithSave(outgoing: OutgoingLayers, options: EngineOfferOptions): Promise<void> {
  const { engine, env, image, info, manifest, onlyPlatform, runIds, signal, want } = options;
  await using spool = lazySpool(env, runIds[0]);
  const unidentified = new UnidentifiedBlobs(outgoing, spool);
  const archive = await engine.saveImage(image.given, { ...(onlyPlatform && { platform: info.platform }), signal });
  const saved = await readSavedImage(archive, {
    diffIds: info.diffIds,
    wanted: new Set(want.diffIds.filter((diffId) => !outgoing.has(diffId))),
    platform: info.platform,
    descriptors: manifest?.layers,
    onLayer: async (diffId, stream, stored) => {
      if (stored.digest === diffId) await outgoing.addPlainStream(diffId, stored.size, stream);
      else await outgoing.addStoredStream(diffId, stored, stream);
    },
    onUnidentified: async (stream, file) => await unidentified.keep(stream, file),
    signal,
  });
  refuseIncomplete(outgoing, saved, options);
  outgoing.finish(saved.config);
  if (unidentified.hasFiles && !signal.aborted) await once(signal, "abort");
}

function refuseIncomplete(
  outgoing: OutgoingLayers,
  { absent, unrecognised, configDigest }: SavedImage,
  { image, manifest, want }: EngineOfferOptions,
): void {
  const isComplete = want.diffIds.every((diffId) => outgoing.has(diffId));
  if (manifest !== undefined && !(isComplete && manifest.config.digest === configDigest))
    throw notAsStored(image.given);
  if (isComplete) return;
  const problem =
    absent.length > 0
      ? `lacks ${absent.length} of its layers`
      : `has ${unrecognised.length} layers in a form that matches no diff ID`;
  throw new Failure("transfer-failed", `\`docker save\` of ${image.given} ${problem}`, {
    expected: `all of the ${want.diffIds.length} wanted layers`,
    hint: "Serve the image from a registry:2 container instead: --registry container.",
  });
}

/** Returns the Failure for layers that `docker save` has compressed again, or taken from the image for another platform. */
function notAsStored(image: string): Failure {
  return new Failure("not-verified", `the engine does not return the layers of ${image} as it stores them`, {
    expected: "the blobs that its manifest names, because of --preserve-digest",
    hint: "Omit --preserve-digest, or serve the image from a registry:2 container: --registry container.",
  });
}
