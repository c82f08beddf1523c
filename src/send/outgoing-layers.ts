import type { Digest } from "../image/digest.ts";
import type { Descriptor, EncodedManifest } from "../image/manifest.ts";
import type { StoredBlob } from "../registry/embedded/pull/registry-content.ts";

/** Takes the layers of an export: for one receiver ({@link OutgoingBlobs}), or for several that share them (`shared/`). */
export interface OutgoingLayers {
  has(diffId: Digest): boolean;
  /** Adds a layer as a blob that can be read again and again. The caller owns the blob, and keeps it until the export ends. */
  addStored(diffId: Digest, descriptor: Descriptor, blob: StoredBlob): Promise<void>;
  /** Adds a layer as a stream of the blob's bytes, which fails when they are not the blob's. Resolves when it has been read. */
  addStoredStream(diffId: Digest, descriptor: Descriptor, blobBytes: AsyncIterable<Buffer>): Promise<void>;
  /** Adds a layer as a stream of its plain tar of `size` bytes, which fails when they are not the layer's. Resolves when it has been read. */
  addPlainStream(diffId: Digest, size: number, tar: AsyncIterable<Buffer>): Promise<void>;
  /** Makes manifest and config available: all wanted layers have been added. `stored`: the manifest, where the image has one. */
  finish(config: Buffer, stored?: EncodedManifest): void;
  /** Tells that there is no room for files. Returns false; throws any other error. */
  continueWithoutSpool(error: unknown): false;
}
