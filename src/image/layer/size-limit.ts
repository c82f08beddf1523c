/** A limit to the bytes that several layers may have together. */
export interface SizeLimit {
  /** Bytes that are left, Infinity without a limit. */
  readonly left: number;
  /** Throws {@link SizeLimitExceeded} when fewer bytes than that are left. Spends none. */
  refuse(bytes: number): void;
  /** Spends bytes of uncompressed layers. Throws {@link SizeLimitExceeded}. */
  spend(bytes: number): void;
  /** Spends bytes of layers as they are stored, which have a slightly larger limit ({@link COMPRESSION_OVERHEAD}). */
  spendStored(bytes: number): void;
  /** Returns the same limit for one layer, whose bytes can be given back. */
  share(): SizeLimitShare;
}

/** One layer's share of a limit. */
export interface SizeLimitShare extends SizeLimit {
  /** Gives back the bytes of a layer whose files have been removed. Spending from the share fails from now on. */
  release(): void;
}

/** Thrown when an image's layers have more bytes than the receiver allows. */
export class SizeLimitExceeded extends Error {
  override readonly name = "SizeLimitExceeded";
}

/**
 * The bytes by which compression may enlarge a layer. Incompressible content grows by a thousandth with gzip, and an empty layer by a few
 * bytes; a larger blob (empty gzip members, skippable zstd frames) is made to fill a disk.
 */
const COMPRESSION_OVERHEAD = { part: 1 / 16, bytes: 1_000_000 };

/** @param maxSize bytes of all layers together, uncompressed */
export function sizeLimit(maxSize = Number.POSITIVE_INFINITY): SizeLimit {
  let plain = 0;
  let stored = 0;
  const maxStored = maxSize + maxSize * COMPRESSION_OVERHEAD.part + COMPRESSION_OVERHEAD.bytes;
  const refuseUnless = (isAllowed: boolean): void => {
    if (!isAllowed) throw new SizeLimitExceeded(`its layers are larger than the ${maxSize} bytes that are allowed`);
  };
  const share = (): SizeLimitShare => {
    const own = { plain: 0, stored: 0 };
    let isReleased = false;
    const refuseReleased = (): void => {
      if (isReleased) throw new Error("the layer has been given up");
    };
    const refuse = (bytes: number): void => refuseUnless(plain + bytes <= maxSize);
    return {
      get left() {
        return maxSize - plain;
      },
      refuse,
      spend(bytes) {
        refuseReleased();
        refuse(bytes);
        plain += bytes;
        own.plain += bytes;
      },
      spendStored(bytes) {
        refuseReleased();
        refuseUnless(stored + bytes <= maxStored);
        stored += bytes;
        own.stored += bytes;
      },
      share,
      release() {
        plain -= own.plain;
        stored -= own.stored;
        own.plain = own.stored = 0;
        isReleased = true;
      },
    };
  };
  return share();
}
