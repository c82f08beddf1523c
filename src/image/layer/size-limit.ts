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
