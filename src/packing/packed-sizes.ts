import type { Readable } from "node:stream";
import { splitIntoBlocks } from "../streams/blocks.ts";
import { INTERVAL, levelFor, Pace, type Packing } from "./pace.ts";
import { BLOCK, HEADER, pack } from "./pack.ts";

/** The maximum plain bytes of a layer that are packed: blocks are packed independently, so every nth block represents its neighbours. */
const SAMPLED = 64 * 1024 * 1024;
/** ms for a layer. The bytes that were read until then represent the rest. */
const TIME_LIMIT = 10_000;

export interface PackedSize {
  bytes: number;
  isExact: boolean;
}

/**
 * Determines the packed size of layers without a link: the rate of the link and the time of packing decide how strongly they are packed.
 */
export class PackedSizes {
  readonly #packing: Packing;
  readonly #sampled: number;
  readonly #pace = new Pace();

  constructor(packing: Packing, sampled = SAMPLED) {
    this.#packing = packing;
    this.#sampled = sampled;
  }

  /**
   * Returns the packed size of a layer of `size` plain bytes for a link of this rate. May close `plain` before its end. The size is exact
   * only if nothing is compressed.
   */
  async sizeOf(plain: Readable, size: number, bytesPerSecond: number): Promise<PackedSize> {
    const frames = (Math.ceil(size / BLOCK) + 1) * HEADER;
    const { codec } = this.#packing;
    if (codec === undefined) {
      plain.destroy();
      return { bytes: size + frames, isExact: true };
    }
    const every = Math.max(1, Math.ceil(size / this.#sampled));
    const spent = { source: 0, packing: 0, packed: 0, plain: 0 };
    const [all, interval] = [{ packed: 0, plain: 0 }, { ...spent }];
    const sampled = timed(everyNth(splitIntoBlocks(plain as AsyncIterable<Buffer>, BLOCK), every), interval);
    let since = performance.now();
    for await (const chunk of pack(sampled, {
      codec,
      level: () => levelFor(this.#packing, this.#pace),
      blockPerChunk: true,
    })) {
      interval.packing += performance.now() - since;
      since = performance.now();
      interval.packed += chunk.length;
      if (interval.plain * every < INTERVAL) continue;
      add(all, interval);
      this.#judge(interval, every, bytesPerSecond);
      Object.assign(interval, spent);
    }
    add(all, interval);
    return { bytes: Math.round(all.packed * (all.plain === 0 ? 1 : size / all.plain)), isExact: false };
  }

  /** In a transfer, blocks are packed while others are on the link, so the shorter of the two times does not count. */
  #judge(interval: Interval, every: number, bytesPerSecond: number): void {
    const packing = Math.max(0, interval.packing - interval.source) * every;
    const link = ((interval.packed * every) / bytesPerSecond) * 1000;
    const waiting = Math.max(0, packing - link);
    this.#pace.judge({ packing: waiting, link, total: waiting + link + interval.source });
  }
}

/** ms, and bytes of the sampled blocks. `source`, the time spent reading, is included in `packing`. */
interface Interval {
  source: number;
  packing: number;
  packed: number;
  plain: number;
}

function add(all: Pick<Interval, "packed" | "plain">, { packed, plain }: Interval): void {
  all.packed += packed;
  all.plain += plain;
}

async function* timed(blocks: AsyncIterable<Buffer>, interval: Interval): AsyncGenerator<Buffer> {
  let since = performance.now();
  for await (const block of blocks) {
    interval.source += performance.now() - since;
    interval.plain += block.length;
    yield block;
    since = performance.now();
  }
}

async function* everyNth(blocks: AsyncIterable<Buffer>, every: number): AsyncGenerator<Buffer> {
  const end = performance.now() + TIME_LIMIT;
  let at = 0;
  for await (const block of blocks) {
    if (at++ % every === 0) yield block;
    if (performance.now() > end) return;
  }
}
