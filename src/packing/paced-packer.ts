import { EFFORTS, type Codec, type Effort } from "./codecs.ts";
import { pack, type PackOptions as PackingOptions } from "./pack.ts";

/** Bytes that are packed with one effort before it is judged by what it led to. */
const TRIAL = 16 * 1024 * 1024;
/** Trials in a row that must ask for less effort: what is short is to be small, what is long to be fast. */
const TRIALS_FOR_LESS = 4;

/** What of the time must be spent on waiting for the link, before it is the link that is slow; and until it is fast. */
const LINK = { slow: 1 / 2, fast: 1 / 8 };
/** What of the time must be spent on waiting for packing, before it is that which is slow. */
const PACKING_IS_SLOW = 1 / 2;

/** How plain layers are packed for the way. */
export interface Packing {
  /** Left out: blocks are only framed. */
  codec?: Codec | undefined;
  /** Of the codec; left out: as hard as the link leaves time for. */
  level?: number | undefined;
}

/** See pack.ts. */
export type PackOptions = Pick<PackingOptions, "blockPerChunk">;

/**
 * Packs a transfer's layers while they are read, as hard as it costs no time: harder when whoever reads them, the link, is what
 * all wait for; lighter, and in the end not at all, when it waits for packing. What one layer has shown, the next begins with.
 * Where a level was asked for, it is that one.
 */
export class PacedPacker {
  readonly #packing: Packing;
  #effort = EFFORTS.indexOf("medium");
  /** ms; what was spent in the source is a part of what was spent until a chunk was packed. */
  #clocks = { source: 0, untilPacked: 0, link: 0 };
  /** Since it was last judged. */
  #bytes = 0;
  #trialsForLess = 0;

  constructor(packing: Packing) {
    this.#packing = packing;
  }

  async *pack(plain: AsyncIterable<Buffer>, { blockPerChunk: asTheyCome }: PackOptions = {}): AsyncGenerator<Buffer> {
    let since = performance.now();
    const lap = (): number => {
      const before = since;
      since = performance.now();
      return since - before;
    };
    const { codec } = this.#packing;
    for await (const chunk of pack(this.#clocked(plain), {
      codec,
      level: () => this.#level,
      blockPerChunk: asTheyCome,
    })) {
      this.#clocks.untilPacked += lap();
      yield chunk;
      this.#clocks.link += lap();
      if (this.#bytes >= TRIAL) this.#judge();
    }
  }

  get #level(): number | undefined {
    const { codec, level } = this.#packing;
    const effort = this.#now;
    return level ?? (effort === "none" ? undefined : codec?.levels[effort]);
  }

  get #now(): Effort {
    return EFFORTS[this.#effort] ?? "medium";
  }

  async *#clocked(plain: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    let since = performance.now();
    for await (const chunk of plain) {
      this.#clocks.source += performance.now() - since;
      this.#bytes += chunk.length;
      yield chunk;
      since = performance.now();
    }
  }

  #judge(): void {
    const { source, untilPacked, link } = this.#clocks;
    const all = untilPacked + link;
    const packing = untilPacked - source;
    const wantsMore = link > all * LINK.slow || (this.#now === "none" && link > all * LINK.fast);
    const wantsLess = packing > all * PACKING_IS_SLOW && link < all * LINK.fast;
    this.#trialsForLess = wantsLess ? this.#trialsForLess + 1 : 0;
    if (wantsMore) this.#step(1);
    else if (this.#trialsForLess === TRIALS_FOR_LESS) this.#step(-1);
    this.#clocks = { source: 0, untilPacked: 0, link: 0 };
    this.#bytes = 0;
  }

  #step(by: -1 | 1): void {
    this.#effort = Math.min(EFFORTS.length - 1, Math.max(0, this.#effort + by));
    this.#trialsForLess = 0;
  }
}
