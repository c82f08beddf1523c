import type { Digest } from "../image/digest.ts";

/** A blob in an engine's content store. */
export interface ContentBlob {
  digest: Digest;
  /** Bytes. */
  size: number;
  /** Set for a layer that the engine has decompressed or compressed. */
  diffId?: Digest;
  /** The blobs that it refers to, if it is a manifest. */
  names: readonly Digest[];
}

/** A query for the blobs that match one of these properties. */
export interface BlobQuery {
  digests?: readonly Digest[];
  /** Diff IDs of layers, whose blobs may have any digest. */
  diffIds?: readonly Digest[];
  /** The config that manifests refer to. */
  config?: Digest | undefined;
}

export interface ReadOptions {
  /** The size of the blob in bytes. */
  size: number;
  /** Offset of the first byte to read. */
  from?: number;
  /** Bytes to read. Default: up to the end of the blob */
  length?: number;
  signal?: AbortSignal | undefined;
}

/**
 * The blobs of an engine with a containerd store. BuildKit, which is in every such engine, serves the read-only part of containerd's
 * content service (`api/services/content/v1`). Tested with Docker 26.1, 28.5 and 29.7.
 *
 * The caller must verify the blobs. Methods reject with `EngineError` for an invalid answer, and with the errors of every engine call.
 */
export interface ContentStore {
  /** Costs one request, about 10 ms. */
  find(query: BlobQuery, signal?: AbortSignal): Promise<ContentBlob[]>;
  /**
   * Streams the given range of a blob, unverified. Resumes after a broken connection. Rejects with {@link BlobGone} if the engine does not
   * have the blob, and with `InvalidImage` if the blob has another size.
   */
  read(digest: Digest, options: ReadOptions): AsyncGenerator<Buffer>;
  /** Returns a blob of at most `max` bytes, verified; undefined if the engine does not have it, or if its digest differs. */
  readSmall(digest: Digest, max: number, signal?: AbortSignal): Promise<Buffer | undefined>;
}

/** Thrown when the engine does not have a blob. */
export class BlobGone extends Error {
  override readonly name = "BlobGone";
}
