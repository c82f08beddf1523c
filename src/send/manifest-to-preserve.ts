import type { RunId } from "../run/run-id.ts";
import type { Digest } from "../image/digest.ts";
import type { ImageManifest } from "../image/manifest.ts";
import { Failure } from "../output/errors.ts";
import type { FoundImage } from "./found-image.ts";

/** The maximum size in bytes, so that the manifest fits into a message (PROTOCOL.md, 3). A manifest of 127 layers has about 30 kB. */
const MAX_BYTES = 512_000;

/**
 * Reads the manifest that the receiver is to preserve. Returns undefined if the source stores no manifests. Rejects with `not-verified` if
 * the image's manifest cannot be preserved.
 */
export async function manifestToPreserve(
  image: FoundImage,
  runIds: readonly [RunId, RunId],
): Promise<ImageManifest | undefined> {
  if (image.manifest === undefined) return undefined;
  const manifest = await image.manifest(runIds);
  if (manifest === undefined) throw cannotPreserve("the engine does not return it");
  if (manifest.layers.length !== image.diffIds.length) throw cannotPreserve("it does not name a blob for each layer");
  if (manifest.bytes.length > MAX_BYTES) throw cannotPreserve(`it is larger than ${MAX_BYTES / 1000} kB`);
  const blobs = new Map<Digest, Digest>();
  for (const [index, { digest }] of manifest.layers.entries()) {
    const diffId = image.diffIds[index] ?? "";
    // The receiver wants layers by diff ID, so each must have one blob.
    if ((blobs.get(diffId) ?? digest) !== digest)
      throw cannotPreserve(`it names the layer ${diffId} twice, as different blobs`);
    blobs.set(diffId, digest);
  }
  return manifest;
}

function cannotPreserve(reason: string): Failure {
  return new Failure("not-verified", `the manifest of the image cannot be preserved: ${reason}`, {
    expected: "a manifest that can be the same on both sides, because of --preserve-digest",
    hint: "Omit --preserve-digest: config and layers stay the same, and the image gets a new manifest.",
  });
}
