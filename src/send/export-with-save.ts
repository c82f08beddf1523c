import { once } from "node:events";
import { readSavedImage, type SavedImage } from "../image/docker/read-saved-image.ts";
import { Failure } from "../output/errors.ts";
import { lazySpool } from "../run/spool.ts";
import type { EngineOfferOptions } from "./found-image.ts";
import type { OutgoingBlobs } from "./outgoing-blobs.ts";
import { UnidentifiedBlobs } from "./unidentified-blobs.ts";

/**
 * Puts the wanted layers on the shelf while `docker save` is read, and finishes it. Of a containerd store these are the blobs as it
 * stores them. Resolves when the receiver has taken what passed, and, where some waited in files, when `signal` says that
 * nobody reads those any more; then they are gone.
 */
export async function exportWithSave(outgoing: OutgoingBlobs, options: EngineOfferOptions): Promise<void> {
  const { engine, env, image, info, manifest, onlyPlatform, runs, signal, want } = options;
  await using spool = lazySpool(env, runs[0]);
  const waiting = new UnidentifiedBlobs(outgoing, spool);
  const archive = await engine.saveImage(image.given, { ...(onlyPlatform && { platform: info.platform }), signal });
  const saved = await readSavedImage(archive, {
    diffIds: info.diffIds,
    wanted: new Set(want.diffIds.filter((diffId) => !outgoing.has(diffId))),
    platform: info.platform,
    descriptors: manifest?.layers,
    onLayer: async (diffId, stream, stored) => {
      if (stored.digest === diffId) await outgoing.pack(diffId, stored.size, stream);
      else await outgoing.take(diffId, stored, stream);
    },
    onUnidentified: async (stream, file) => await waiting.keep(stream, file),
    signal,
  });
  refuseIncomplete(outgoing, saved, options);
  outgoing.finish(saved.config);
  if (waiting.hasWaitingFiles && !signal.aborted) await once(signal, "abort");
}

function refuseIncomplete(
  outgoing: OutgoingBlobs,
  { absent, unrecognised, configDigest }: SavedImage,
  { image, manifest, want }: EngineOfferOptions,
): void {
  const isWhole = want.diffIds.every((diffId) => outgoing.has(diffId));
  if (manifest !== undefined && !(isWhole && manifest.config.digest === configDigest)) throw notAsStored(image.given);
  if (isWhole) return;
  const what =
    absent.length > 0
      ? `gave ${absent.length} layers less than the image has`
      : `gave ${unrecognised.length} layers in a form that they are not known by`;
  throw new Failure("transfer-failed", `\`docker save\` of ${image.given} ${what}`, {
    expected: `all of the ${want.diffIds.length} layers that are wanted`,
    hint: "Serve the image from a registry:2 container instead: --registry container.",
  });
}

/** What `docker save` gives has been packed anew, or is of another variant. */
function notAsStored(image: string): Failure {
  return new Failure("not-verified", `the engine does not give the layers of ${image} as it stores them`, {
    expected: "the blobs that its manifest names, because of --preserve-digest",
    hint: "Leave --preserve-digest out, or serve the image from a registry:2 container: --registry container.",
  });
}
