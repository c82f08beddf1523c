import type { Digest } from "../image/digest.ts";

/** A blob in an engine's content store. */
export interface ContentBlob {
  digest: Digest;
  /** Bytes. */
  size: number;
  /** Set for a layer that the engine has decompressed or compressed. */
  diffId?: Digest;
  /** The blobs that it names, when it is a manifest. */
  names: readonly Digest[];
}

/** A query for the blobs that match one of these. */
export interface BlobQuery {
  digests?: readonly Digest[];
  /** Of layers, under any blob digest. */
  diffIds?: readonly Digest[];
  /** The config of manifests. */
  config?: Digest | undefined;
}

export interface ReadOptions {
  /** The blob's bytes. */
  size: number;
  /** Offset of the first byte to read. */
  from?: number;
  /** Bytes to read. Left out: all. */
  length?: number;
  signal?: AbortSignal | undefined;
}

/**
 * The blobs of an engine with a containerd store. BuildKit, which is in every such engine, serves the read-only part of containerd's
 * content service (`api/services/content/v1`). Tested with Docker 26.1, 28.5 and 29.7.
 *
 * Blobs are not verified: the caller verifies them. Rejects with `EngineError` for an invalid answer, and as every call of the engine
 * does.
 */
export interface ContentStore {
  /** Takes one request, about 10 ms. */
  find(query: BlobQuery, signal?: AbortSignal): Promise<ContentBlob[]>;
  /**
   * Streams the given range of a blob, unverified. It resumes after a broken connection. Rejects with {@link BlobGone} when the engine
   * does not have the blob, and with `InvalidImage` when the blob has another size.
   */
  read(digest: Digest, options: ReadOptions): AsyncGenerator<Buffer>;
  /** Returns a blob of at most `max` bytes, verified; undefined when the engine does not have it, or its digest differs. */
  readSmall(digest: Digest, max: number, signal?: AbortSignal): Promise<Buffer | undefined>;
}

/** Thrown when the engine does not have a blob. */
export class BlobGone extends Error {
  override readonly name = "BlobGone";
}
