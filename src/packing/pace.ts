import { EFFORTS, type Codec, type Effort } from "./codecs.ts";

/** Bytes that are packed with one effort before the effort is judged. */
export const INTERVAL = 16 * 1024 * 1024;
/** The effort is reduced only after this many consecutive slow intervals: a short transfer should be small, a long transfer fast. */
const INTERVALS_FOR_LESS = 4;

/** The link counts as slow above, and as fast below, these shares of the time spent waiting for it. */
const LINK = { slow: 1 / 2, fast: 1 / 8 };
/** Packing counts as slow above this share of the time spent waiting for it. */
const PACKING_IS_SLOW = 1 / 2;

/** How layers are packed for the transfer. */
export interface Packing {
  /** If undefined, blocks are only framed. */
  codec?: Codec | undefined;
  /** The codec's level. Default: as strong as the link allows without delay. */
  level?: number | undefined;
}

/**
 * Chooses how strongly to pack: more strongly if the link is the bottleneck; more lightly, down to not at all, if packing is the
 * bottleneck.
 */
export class Pace {
  #effort = EFFORTS.indexOf("medium");
  #intervalsForLess = 0;

  get effort(): Effort {
    return EFFORTS[this.#effort] ?? "medium";
  }

  /** Judges an interval: ms spent waiting for packing and for the link, and in total. */
  judge({ packing, link, total }: { packing: number; link: number; total: number }): void {
    const wantsMore = link > total * LINK.slow || (this.effort === "none" && link > total * LINK.fast);
    const wantsLess = packing > total * PACKING_IS_SLOW && link < total * LINK.fast;
    this.#intervalsForLess = wantsLess ? this.#intervalsForLess + 1 : 0;
    if (wantsMore) this.#step(1);
    else if (this.#intervalsForLess === INTERVALS_FOR_LESS) this.#step(-1);
  }

  #step(by: -1 | 1): void {
    this.#effort = Math.min(EFFORTS.length - 1, Math.max(0, this.#effort + by));
    this.#intervalsForLess = 0;
  }
}

/** Returns the codec's level for the next block; undefined if the block is not compressed. */
export function levelFor({ codec, level }: Packing, { effort }: Pace): number | undefined {
  return level ?? (effort === "none" ? undefined : codec?.levels[effort]);
}
