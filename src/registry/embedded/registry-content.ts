import type { Readable } from "node:stream";
import type { Digest } from "../../image/digest.ts";

/** A part of a blob, both ends inclusive, in bytes; within the blob. */
export interface ByteRange {
  first: number;
  last: number;
}

/** A blob's plain bytes from `first` on, packed. Whoever is given it owns the stream. */
export interface PackedPart {
  first: number;
  stream: Readable;
}

export interface StoredBlob {
  /** Bytes. */
  size: number;
  /**
   * Its bytes, or that part of them. Whoever opens it owns the stream and destroys it. A stream that gives more or less
   * than was announced breaks the connection that it is sent on, so that nobody takes it for the whole.
   */
  open(range?: ByteRange): Readable | Promise<Readable>;
  /**
   * The same, packed for the way (pack.ts), for whoever takes that content encoding (RFC 9110, 8.4). It may still be growing.
   * Of its plain bytes those from `from` on; or from an earlier one, `first`, when it has been begun already.
   */
  packed?: (from: number) => PackedPart;
}

/** A layer that is cut into pieces (delta/). Both answers are packed for the way. */
export interface LayerDelta {
  /** What it is made of, and how it is put together again. It may still be growing. */
  recipe(): Readable;
  /** To be asked for behind the recipe's end: the pieces that are named in the list that comes with the request, one behind the other. */
  pieces(missing: AsyncIterable<Buffer>): Promise<Readable>;
}

export interface StoredManifest {
  mediaType: string;
  digest: Digest;
  bytes: Uint8Array;
}

/**
 * What a registry has to give. Names, tags and digests have been checked when they get here (spec, "Pull"); `undefined` says
 * that there is no such thing, and a rejection is answered with 500.
 */
export interface RegistryContent {
  /** `reference`: a tag, or the digest of a manifest. */
  manifest(repository: string, reference: string): Promise<StoredManifest | undefined>;
  blob(repository: string, digest: Digest): Promise<StoredBlob | undefined>;
  /** A layer that can be had in pieces, from the moment that it is being cut. */
  delta?(repository: string, digest: Digest): Promise<LayerDelta | undefined>;
  /** In any order; undefined for a repository that is not known. */
  tags(repository: string): Promise<readonly string[] | undefined>;
}

/** A registry with nothing in it. */
export const NO_CONTENT: RegistryContent = {
  manifest: async () => undefined,
  blob: async () => undefined,
  tags: async () => undefined,
};
