/** A limit on the total size of several layers. */
export interface SizeLimit {
  /** The remaining bytes, Infinity without a limit. */
  readonly left: number;
  /** Throws {@link SizeLimitExceeded} if fewer bytes are left. Spends none. */
  refuse(bytes: number): void;
  /** Spends bytes of uncompressed layers. Throws {@link SizeLimitExceeded}. */
  spend(bytes: number): void;
  /** Spends bytes of stored layers, which have a slightly larger limit ({@link COMPRESSION_OVERHEAD}). */
  spendStored(bytes: number): void;
  /** Returns a share of the limit for one layer. Its bytes can be given back. */
  share(): SizeLimitShare;
}

/** One layer's share of a limit. */
export interface SizeLimitShare extends SizeLimit {
  /** Gives back the bytes of a layer whose files have been removed. Afterwards, spending from the share fails. */
  release(): void;
}

/** Thrown if an image's layers have more bytes than the receiver allows. */
export class SizeLimitExceeded extends Error {
  override readonly name = "SizeLimitExceeded";
}

/**
 * The bytes by which compression may enlarge a layer. Incompressible content grows by a thousandth with gzip, and an empty layer by a few
 * bytes. A blob that is larger than that (empty gzip members, skippable zstd frames) is meant to fill a disk.
 */
const COMPRESSION_OVERHEAD = { part: 1 / 16, bytes: 1_000_000 };

/** @param maxSize the uncompressed size of all layers in bytes */
export function sizeLimit(maxSize = Number.POSITIVE_INFINITY): SizeLimit {
  const maxStored = maxSize + maxSize * COMPRESSION_OVERHEAD.part + COMPRESSION_OVERHEAD.bytes;
  return new Share({ maxSize, maxStored, plain: 0, stored: 0 });
}

/** The limits, and the bytes that all shares have spent. */
interface Total {
  readonly maxSize: number;
  readonly maxStored: number;
  plain: number;
  stored: number;
}

class Share implements SizeLimitShare {
  readonly #total: Total;
  readonly #own = { plain: 0, stored: 0 };
  #isReleased = false;

  constructor(total: Total) {
    this.#total = total;
  }

  get left(): number {
    return this.#total.maxSize - this.#total.plain;
  }

  refuse(bytes: number): void {
    this.#refuseUnless(bytes <= this.left);
  }

  spend(bytes: number): void {
    this.#refuseReleased();
    this.refuse(bytes);
    this.#total.plain += bytes;
    this.#own.plain += bytes;
  }

  spendStored(bytes: number): void {
    this.#refuseReleased();
    this.#refuseUnless(this.#total.stored + bytes <= this.#total.maxStored);
    this.#total.stored += bytes;
    this.#own.stored += bytes;
  }

  share(): SizeLimitShare {
    return new Share(this.#total);
  }

  release(): void {
    this.#total.plain -= this.#own.plain;
    this.#total.stored -= this.#own.stored;
    this.#own.plain = this.#own.stored = 0;
    this.#isReleased = true;
  }

  #refuseUnless(isAllowed: boolean): void {
    if (isAllowed) return;
    throw new SizeLimitExceeded(`its layers are larger than the ${this.#total.maxSize} bytes that are allowed`);
  }

  #refuseReleased(): void {
    if (this.#isReleased) throw new Error("the layer has been given up");
  }
}
