import type { RunId } from "../run/run-id.ts";
import type { Digest } from "../image/digest.ts";
import type { ImageManifest } from "../image/manifest.ts";
import { Failure } from "../output/errors.ts";
import type { FoundImage } from "./found-image.ts";

/** Bytes, so that it fits into a message (PROTOCOL.md, 3); of 127 layers it has some 30 kB. */
const MAX_TOLD = 512_000;

/**
 * The manifest that an image is to keep where it goes; undefined where the source keeps none. Fails with `not-verified` when
 * there is one that cannot be kept.
 */
export async function manifestToPreserve(
  image: FoundImage,
  runs: readonly [RunId, RunId],
): Promise<ImageManifest | undefined> {
  if (image.manifest === undefined) return undefined;
  const manifest = await image.manifest(runs);
  if (manifest === undefined) throw notKept("the engine does not give it");
  if (manifest.layers.length !== image.diffIds.length) throw notKept("it does not name a blob for each layer");
  if (manifest.bytes.length > MAX_TOLD) throw notKept(`it is larger than ${MAX_TOLD / 1000} kB`);
  const blobs = new Map<Digest, Digest>();
  for (const [index, { digest }] of manifest.layers.entries()) {
    const diffId = image.diffIds[index] ?? "";
    // Layers are asked for by what they hold.
    if ((blobs.get(diffId) ?? digest) !== digest)
      throw notKept(`it names the layer ${diffId} twice, as different blobs`);
    blobs.set(diffId, digest);
  }
  return manifest;
}

function notKept(why: string): Failure {
  return new Failure("not-verified", `the manifest of the image cannot be kept as it is: ${why}`, {
    expected: "a manifest that can be the same on both sides, because of --preserve-digest",
    hint: "Leave --preserve-digest out: the image has the same config and layers then, and a manifest of its own.",
  });
}
