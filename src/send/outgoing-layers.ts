import type { Digest } from "../image/digest.ts";
import type { Descriptor, EncodedManifest } from "../image/manifest.ts";
import type { StoredBlob } from "../registry/embedded/pull/registry-content.ts";

/** Receives the layers of an export: for one receiver ({@link OutgoingBlobs}), or for several receivers that share them (`shared/`). */
export interface OutgoingLayers {
  has(diffId: Digest): boolean;
  /** Adds a layer as a blob that can be read repeatedly. The caller owns the blob, and keeps it until the export ends. */
  addStored(diffId: Digest, descriptor: Descriptor, blob: StoredBlob): Promise<void>;
  /** Adds a layer as a stream of the blob's bytes, which fails if they do not match the blob's digest. Resolves when it has been read. */
  addStoredStream(diffId: Digest, descriptor: Descriptor, blobBytes: AsyncIterable<Buffer>): Promise<void>;
  /**
   * Adds a layer as a stream of its plain tar of `size` bytes, which fails if they do not match the layer. Resolves when it has been read.
   */
  addPlainStream(diffId: Digest, size: number, tar: AsyncIterable<Buffer>): Promise<void>;
  /** Makes manifest and config available. Call it when all wanted layers have been added. `stored`: the manifest, if the image has one. */
  finish(config: Buffer, stored?: EncodedManifest): void;
  /** Reports that there is no space for files, and returns false. Throws any other error. */
  continueWithoutSpool(error: unknown): false;
}
