import { pipeline, Readable } from "node:stream";
import { verifyLayer } from "../image/layer/verify-layer.ts";
import type { ArchivedLayer } from "../image/archive/image-archive.ts";
import { hasZstd } from "../image/layer/zstd-frames.ts";
import type { PacedPacker } from "../packing/paced-packer.ts";
import type { StoredBlob } from "../registry/embedded/pull/registry-content.ts";
import { byteRange } from "../streams/byte-range.ts";

export interface ArchivedBlobOptions {
  /** Packs a plain layer for the transfer. If undefined, nothing is packed. */
  packer: PacedPacker | undefined;
  /** Called if a layer cannot be read, or does not match its digest or diff ID. */
  onError: (error: Error) => void;
}

/**
 * Returns an archive's layer as a blob for the embedded registry: a compressed layer as it is stored, and a plain layer also packed while
 * it is read. Each read verifies digest and diff ID.
 */
export function archivedBlob(layer: ArchivedLayer, { packer, onError }: ArchivedBlobOptions): StoredBlob {
  const open = (): Readable => openVerified(layer).on("error", unlessReaderLeft(onError));
  return {
    size: layer.blob.size,
    isInFile: true,
    // Also reads the bytes before the range: a digest can only be verified from the start.
    open: (range) => (range === undefined ? open() : Readable.from(byteRange(open(), range), { objectMode: false })),
    ...(isPlain(layer) &&
      packer && {
        packed: (first: number) => ({
          first,
          stream: Readable.from(packer.pack(byteRange(open(), { first })), { objectMode: false }),
        }),
        packedSize: async (rate: number) => await packer.sizeOf(open(), layer.blob.size, rate),
      }),
  };
}

/** Calls `onError` for a stream's own errors, but not if its reader closes it before the end. */
export function unlessReaderLeft(onError: (error: Error) => void): (error: NodeJS.ErrnoException) => void {
  return (error) => {
    if (error.code !== "ERR_STREAM_PREMATURE_CLOSE" && error.name !== "AbortError") onError(error);
  };
}

/** Returns whether a layer is stored plain. The digest of a compressed layer differs from that of its tar. */
export function isPlain({ blob, diffId }: ArchivedLayer): boolean {
  return blob.digest === diffId;
}

/** Opens a layer. The archive verifies the digest. This function verifies the diff ID, or the receiver does if this Node has no zstd. */
function openVerified(layer: ArchivedLayer): Readable {
  const { diffId, blob, open } = layer;
  if (isPlain(layer) || (blob.mediaType.endsWith("zstd") && !hasZstd)) return open();
  return pipeline(open(), verifyLayer({ blob, diffId }), () => {});
}
