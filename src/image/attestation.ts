import type { Descriptor } from "./manifest.ts";

type Entry = Pick<Descriptor, "platform" | "annotations">;

/** Recognises provenance and SBOMs, which buildx stores next to an image (moby/buildkit docs/attestations/attestation-storage.md). */
export function isAttestation({ platform, annotations }: Entry): boolean {
  return platform?.os === "unknown" || annotations?.["vnd.docker.reference.type"] !== undefined;
}

/** Returns the digest of the manifest that an attestation describes; undefined if it names none. */
export function subjectOf({ annotations }: Entry): string | undefined {
  return annotations?.["vnd.docker.reference.digest"];
}
