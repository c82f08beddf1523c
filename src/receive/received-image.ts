import type { Result } from "../conversation/messages.ts";
import type { Digest } from "../image/digest.ts";
import type { Reference } from "../image/reference.ts";
import type { NonEmpty } from "../non-empty.ts";
import { givenNames } from "./names-to-give.ts";

/** An image in the target under a temporary name, which disposal removes, or under its ID if it was present before. */
export interface ReceivedImage extends AsyncDisposable {
  name: string;
  /** True if it needs no further verification. */
  isVerified?: boolean;
  /**
   * The ID that the image must have: the digest of its config, or of its manifest in a containerd store. Undefined if a containerd store
   * has pulled the image from the registry, because the ID may be that of an index.
   */
  id?: Digest;
  layersSent: number;
  layersPresent: number;
  /** Compressed bytes of the layers that were present. */
  bytesPresent: number;
  /** Plain bytes of the other layers that were found in delta bases. */
  bytesFound?: number;
  /** Bytes of the archive that contains the image. */
  archiveBytes?: number;
}

export type LayerCounts = Pick<ReceivedImage, "layersSent" | "layersPresent" | "bytesPresent">;

/**
 * Counts the layers for the summary.
 *
 * @param sizes the sizes of the layers' blobs in bytes, bottom first
 * @param isSent whether each layer came through the tunnel
 */
export function countLayers(sizes: readonly number[], isSent: readonly boolean[]): LayerCounts {
  const present = sizes.filter((_, index) => !isSent[index]);
  return {
    layersSent: sizes.length - present.length,
    layersPresent: present.length,
    bytesPresent: present.reduce((all, size) => all + size, 0),
  };
}

/** Returns the `result` for the sender. */
export function resultOf(
  { layersSent, layersPresent, bytesPresent, bytesFound = 0 }: ReceivedImage,
  {
    id,
    names,
    manifestDigest,
    bytesReceived,
  }: { id: Digest; names: NonEmpty<Reference>; manifestDigest: Digest | undefined; bytesReceived: number },
): Result {
  const counts = { layersSent, layersPresent, bytesPresent, bytesFound, bytesReceived };
  return {
    names: givenNames(names),
    id,
    ...(manifestDigest !== undefined && { manifestDigest }),
    ...counts,
  };
}
