import { EFFORTS, type Codec, type Effort } from "./codecs.ts";

/** Bytes packed with one effort before it is judged. */
export const INTERVAL = 16 * 1024 * 1024;
/** Consecutive intervals that must ask for less effort: a short transfer is to be small, a long one fast. */
const INTERVALS_FOR_LESS = 4;

/** The part of the time spent waiting for the link above which it counts as slow, and below which it counts as fast. */
const LINK = { slow: 1 / 2, fast: 1 / 8 };
/** The part of the time spent waiting for packing above which packing counts as slow. */
const PACKING_IS_SLOW = 1 / 2;

/** How layers are packed for the transfer. */
export interface Packing {
  /** Left out: blocks are only framed. */
  codec?: Codec | undefined;
  /** The codec's level. Left out: as strong as the link leaves time for. */
  level?: number | undefined;
}

/** Chooses how strongly to pack: more strongly when the link is the bottleneck; more lightly, down to not at all, when packing is. */
export class Pace {
  #effort = EFFORTS.indexOf("medium");
  #intervalsForLess = 0;

  get effort(): Effort {
    return EFFORTS[this.#effort] ?? "medium";
  }

  /** Judges an interval: ms spent waiting for packing and for the link, and in all. */
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

/** Returns the codec's level for the next block; undefined: the block is not compressed. */
export function levelFor({ codec, level }: Packing, { effort }: Pace): number | undefined {
  return level ?? (effort === "none" ? undefined : codec?.levels[effort]);
}
