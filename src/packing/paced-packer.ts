import { EFFORTS, type Codec, type Effort } from "./codecs.ts";
import { pack, type PackOptions } from "./pack.ts";

/** Bytes packed with one effort before it is judged. */
const INTERVAL = 16 * 1024 * 1024;
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

export type PacedPackOptions = Pick<PackOptions, "blockPerChunk">;

/**
 * Packs a transfer's layers while they are read, as strongly as it costs no time: more strongly when the reader, which is the link, is the
 * bottleneck; more lightly, down to not at all, when packing is. The next layer begins with the effort of the last. A requested level is
 * fixed.
 */
export class PacedPacker {
  readonly #packing: Packing;
  #effort = EFFORTS.indexOf("medium");
  /** ms. `source`, the time spent reading, is a part of `untilPacked`. */
  #clocks = { source: 0, untilPacked: 0, link: 0 };
  /** Bytes since the last judgement. */
  #bytes = 0;
  #intervalsForLess = 0;

  constructor(packing: Packing) {
    this.#packing = packing;
  }

  async *pack(plain: AsyncIterable<Buffer>, { blockPerChunk }: PacedPackOptions = {}): AsyncGenerator<Buffer> {
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
      blockPerChunk,
    })) {
      this.#clocks.untilPacked += lap();
      yield chunk;
      this.#clocks.link += lap();
      if (this.#bytes >= INTERVAL) this.#judge();
    }
  }

  get #level(): number | undefined {
    const { codec, level } = this.#packing;
    const effort = this.#currentEffort;
    return level ?? (effort === "none" ? undefined : codec?.levels[effort]);
  }

  get #currentEffort(): Effort {
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
    const total = untilPacked + link;
    const packing = untilPacked - source;
    const wantsMore = link > total * LINK.slow || (this.#currentEffort === "none" && link > total * LINK.fast);
    const wantsLess = packing > total * PACKING_IS_SLOW && link < total * LINK.fast;
    this.#intervalsForLess = wantsLess ? this.#intervalsForLess + 1 : 0;
    if (wantsMore) this.#step(1);
    else if (this.#intervalsForLess === INTERVALS_FOR_LESS) this.#step(-1);
    this.#clocks = { source: 0, untilPacked: 0, link: 0 };
    this.#bytes = 0;
  }

  #step(by: -1 | 1): void {
    this.#effort = Math.min(EFFORTS.length - 1, Math.max(0, this.#effort + by));
    this.#intervalsForLess = 0;
  }
}
