import { createHash } from "node:crypto";

/** `sha256:` and 64 hex digits: the only algorithm that engines write. */
export type Digest = string;

const FORM = /^sha256:[0-9a-f]{64}$/;

export function isDigest(text: unknown): text is Digest {
  return typeof text === "string" && FORM.test(text);
}

export function digestOf(bytes: Uint8Array | string): Digest {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** The hex digits alone, as file names in an OCI layout have them. */
export function hexOf(digest: Digest): string {
  return digest.slice("sha256:".length);
}

/** The first 12 of them, as engines show and report things. */
export function shortOf(digest: Digest): string {
  return hexOf(digest).slice(0, 12);
}

/**
 * The chain IDs of a stack of layers, bottom first (OCI image spec, "Layer ChainID"): a layer's own digest says what it
 * holds, its chain ID what it and all below it hold.
 */
export function chainIds(diffIds: readonly Digest[]): Digest[] {
  const chain: Digest[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffId : digestOf(`${below} ${diffId}`));
  }
  return chain;
}
