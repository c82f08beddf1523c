import type { About } from "../conversation/messages.ts";
import { digestOf, type Digest } from "../image/digest.ts";
import { Failure } from "../output/errors.ts";
import type { RunId } from "../run/run-id.ts";
import type { Target } from "./target.ts";

/**
 * Verifies that the image with the name `name` has the sender's config, and all of the sender's layers in order. Returns its ID.
 *
 * @param id the ID that it must have; undefined if only the store knows it
 * @throws Failure `not-verified`
 */
export async function verifyStored(
  target: Target,
  name: string,
  id: Digest | undefined,
  diffIds: readonly Digest[],
): Promise<Digest> {
  const found = await target.inspect(name);
  const isSame = found?.diffIds.join() === diffIds.join();
  if (found !== undefined && isSame && (id === undefined || found.id === id)) return found.id;
  const difference =
    found === undefined ? "it is not in the store" : isSame ? `its ID is ${found.id}` : "its layers differ";
  throw new Failure("not-verified", `the image in the store as ${name} is not the image that was sent: ${difference}`, {
    expected: `${id === undefined ? "an image" : id}, with the ${diffIds.length} layers that the sender named`,
    hint: "Run the same command again; if it happens again, please report it.",
  });
}

/**
 * Verifies that the image with the name `name` has the sender's manifest, if the sender has sent a manifest to preserve.
 * Returns the digest of the manifest, if it is known.
 *
 * @throws Failure `not-verified`
 */
export async function verifyManifest(
  target: Target,
  name: string,
  { manifest, platform }: About,
  runId: RunId,
): Promise<Digest | undefined> {
  if (manifest === undefined) {
    // An engine would need another request, and uses the digest as the ID if it stores manifests.
    const isEngine = target.platform !== undefined;
    return isEngine ? undefined : await target.manifestOf?.(name, { platform, runId });
  }
  const [digest, found] = [digestOf(manifest.bytes), await target.manifestOf?.(name, { platform, runId })];
  if (found === digest) return digest;
  throw new Failure(
    "not-verified",
    found === undefined
      ? "the store does not return the image's manifest"
      : `the image's manifest in the store is ${found}, not the sender's`,
    {
      expected: `${digest}, because of --preserve-digest`,
      hint: "Omit --preserve-digest: the image then has the same config and layers, and a new manifest.",
    },
  );
}
