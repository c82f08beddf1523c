import type { Digest } from "../image/digest.ts";

/** A blob that an engine keeps. */
export interface ContentBlob {
  digest: Digest;
  /** Bytes. */
  size: number;
  /** What it unpacks to, where it is a layer that the engine has unpacked, or has packed. */
  diffId?: Digest;
  /** Where it is a manifest: the blobs that it names. */
  names: readonly Digest[];
}

/** What blobs are asked for: those that fit one of these. */
export interface ContentQuery {
  digests?: readonly Digest[];
  /** Layers, whatever blobs hold them. */
  diffIds?: readonly Digest[];
  /** Manifests whose config this is. */
  config?: Digest | undefined;
}

export interface ReadOptions {
  /** Bytes, as the blob is known to have. */
  size: number;
  /** Bytes at its beginning that are not wanted. */
  from?: number;
  /** Bytes that are wanted from there. Left out: all. */
  length?: number;
  signal?: AbortSignal | undefined;
}

/**
 * The blobs of an engine with the containerd image store. BuildKit, which is in every such engine, serves the store's own service
 * (containerd, `api/services/content/v1`), and nothing but reading of it. Run on Docker 26.1, 28.5 and 29.7.
 *
 * What it says is the engine's word: whoever is given a blob proves it. Rejects with `EngineError` when it does not answer as it
 * should, and as every call of the engine does.
 */
export interface ContentStore {
  /** One question, some 10 ms. */
  find(query: ContentQuery, signal?: AbortSignal): Promise<ContentBlob[]>;
  /**
   * A blob's bytes as they come, unproven, as many as were asked for. One that breaks off is read on from there. Rejects with
   * {@link BlobGone} when it is not there (any more), and with `InvalidImage` when it has another size.
   */
  read(digest: Digest, options: ReadOptions): AsyncGenerator<Buffer>;
  /** A small blob of at most `max` bytes, proven; undefined when it is not there, or is not what its digest says. */
  readSmall(digest: Digest, max: number, signal?: AbortSignal): Promise<Buffer | undefined>;
}

/** A blob was asked for that the engine does not have. */
export class BlobGone extends Error {
  override readonly name = "BlobGone";
}
