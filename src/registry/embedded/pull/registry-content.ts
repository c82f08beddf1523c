import type { Readable } from "node:stream";
import type { Digest } from "../../../image/digest.ts";
import type { PackedSize } from "../../../packing/packed-sizes.ts";

/** A range of a blob's bytes, both ends inclusive. */
export interface ByteRange {
  first: number;
  last: number;
}

/** A blob's packed bytes, from the offset `first` of its plain bytes. The caller owns the stream. */
export interface PackedPart {
  first: number;
  stream: Readable;
}

export interface StoredBlob {
  /** Bytes. */
  size: number;
  /** True if the blob is in a file on this machine, so that another read costs its source nothing. */
  isInFile?: boolean;
  /**
   * Opens the blob, or a range of it. The caller owns the stream. If the stream has more or fewer bytes than announced, the registry breaks
   * the connection, so that the client does not treat them as the whole blob.
   */
  open(range?: ByteRange): Readable | Promise<Readable>;
  /**
   * Opens the blob packed for the transfer (pack.ts), for clients that accept this content encoding (RFC 9110, 8.4). The blob may still be
   * growing. Begins at the plain byte `from`, or at an earlier byte if the stream has already begun.
   */
  packed?: (from: number) => PackedPart;
  /**
   * Returns the bytes that `packed` would send over a link of this rate. Set together with `packed`. Both may read the blob's only stream.
   */
  packedSize?: (bytesPerSecond: number) => Promise<PackedSize>;
}

/** A layer that is sent by delta. Both streams are packed for the transfer. */
export interface LayerDelta {
  /** Opens the recipe, which may still be growing. */
  recipe(): Readable;
  /** Opens the pieces in the request's list, one after the other. Call it when the recipe has been read. */
  pieces(missing: AsyncIterable<Buffer>): Promise<Readable>;
}

export interface StoredManifest {
  mediaType: string;
  digest: Digest;
  bytes: Uint8Array;
}

/**
 * The content of a registry. The arguments have been validated (spec, "Pull"). The registry answers `undefined` with 404, and a rejection
 * with 500.
 */
export interface RegistryContent {
  /** `reference`: a tag, or the digest of a manifest. */
  manifest(repository: string, reference: string): Promise<StoredManifest | undefined>;
  blob(repository: string, digest: Digest): Promise<StoredBlob | undefined>;
  /** Begins to cut a layer, and returns its delta. */
  delta?(repository: string, digest: Digest): Promise<LayerDelta | undefined>;
  /** In any order; undefined for an unknown repository. */
  tags(repository: string): Promise<readonly string[] | undefined>;
}

/** The content of an empty registry. */
export const NO_CONTENT: RegistryContent = {
  manifest: async () => undefined,
  blob: async () => undefined,
  tags: async () => undefined,
};
