import { pipeline, Readable } from "node:stream";
import { verifyLayer } from "../image/layer/verify-layer.ts";
import type { ArchivedLayer } from "../image/archive/image-archive.ts";
import { hasZstd } from "../image/layer/zstd-frames.ts";
import type { PacedPacker } from "../packing/paced-packer.ts";
import type { StoredBlob } from "../registry/embedded/registry-content.ts";
import { byteRange } from "../streams/byte-range.ts";

export interface ArchivedBlobOptions {
  /** For a plain layer on its way to a receiver of ours. */
  packer: PacedPacker | undefined;
  /** Hears when a layer cannot be read, or is not what it should be. */
  onError: (error: Error) => void;
}

/**
 * A layer of an archive as a registry gives it: a packed one as it is stored, a plain one packed for the way while it is read.
 * What is read is proven, by what it unpacks to as well.
 */
export function archivedBlob(layer: ArchivedLayer, { packer, onError }: ArchivedBlobOptions): StoredBlob {
  const open = (): Readable => proving(layer).on("error", unlessLeft(onError));
  return {
    size: layer.blob.size,
    // What is before a part must be read too: an archive's layer can only be proven from its start.
    open: (range) => (range === undefined ? open() : Readable.from(byteRange(open(), range), { objectMode: false })),
    ...(isPlain(layer) &&
      packer && {
        packed: (first: number) => ({
          first,
          stream: Readable.from(packer.pack(byteRange(open(), { first })), { objectMode: false }),
        }),
      }),
  };
}

/** Hears of a stream's errors, but not that whoever read it has left before its end. */
export function unlessLeft(onError: (error: Error) => void): (error: NodeJS.ErrnoException) => void {
  return (error) => {
    if (error.code !== "ERR_STREAM_PREMATURE_CLOSE" && error.name !== "AbortError") onError(error);
  };
}

/** A packed layer cannot have the digest of what is in it. */
export function isPlain({ blob, diffId }: ArchivedLayer): boolean {
  return blob.digest === diffId;
}

/** The archive proves what is stored. What that unpacks to is left to the receiver where this Node cannot unpack it. */
function proving(layer: ArchivedLayer): Readable {
  const { diffId, blob, open } = layer;
  if (isPlain(layer) || (blob.mediaType.endsWith("zstd") && !hasZstd)) return open();
  return pipeline(open(), verifyLayer({ blob, diffId }), () => {});
}
