import { createHash } from "node:crypto";

/** `sha256:` and 64 hex digits. Engines use no other algorithm. */
export type Digest = string;

const FORM = /^sha256:[0-9a-f]{64}$/;

/** The form of {@link shortOf}. */
export const SHORT_DIGEST = /^[0-9a-f]{12}$/;

export function isDigest(text: unknown): text is Digest {
  return typeof text === "string" && FORM.test(text);
}

export function digestOf(bytes: Uint8Array | string): Digest {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** Returns the hex digits alone, the file name of a blob in an OCI layout. */
export function hexOf(digest: Digest): string {
  return digest.slice("sha256:".length);
}

/** Returns the first 12 hex digits, as engines display digests. */
export function shortOf(digest: Digest): string {
  return hexOf(digest).slice(0, 12);
}

/**
 * Computes the chain IDs of a stack of layers, bottom first (OCI image spec, "Layer ChainID"). A diff ID identifies the content of one
 * layer, a chain ID that of the layer and all layers below it.
 */
export function chainIds(diffIds: readonly Digest[]): Digest[] {
  const chain: Digest[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffId : digestOf(`${below} ${diffId}`));
  }
  return chain;
}
