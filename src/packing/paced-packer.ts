import type { Readable } from "node:stream";
import { INTERVAL, levelFor, Pace, type Packing } from "./pace.ts";
import { pack, type PackOptions } from "./pack.ts";
import { PackedSizes, type PackedSize } from "./packed-sizes.ts";

export type { Packing } from "./pace.ts";

export type PacedPackOptions = Pick<PackOptions, "blockPerChunk">;

/**
 * Packs a transfer's layers while they are read, as strongly as possible without delay: more strongly if the reader, which is the link, is
 * the bottleneck; more lightly, down to not at all, if packing is the bottleneck. The next layer begins with the effort of the last layer.
 * A requested level is fixed.
 */
export class PacedPacker {
  readonly #packing: Packing;
  readonly #sizes: PackedSizes;
  readonly #pace = new Pace();
  /** ms. `source`, the time spent reading, is included in `untilPacked`. */
  #clocks = { source: 0, untilPacked: 0, link: 0 };
  /** Bytes since the effort was last judged. */
  #bytes = 0;

  constructor(packing: Packing) {
    this.#packing = packing;
    this.#sizes = new PackedSizes(packing);
  }

  /** Returns the size that a layer would have after {@link pack}. See {@link PackedSizes.sizeOf}. */
  async sizeOf(plain: Readable, size: number, bytesPerSecond: number): Promise<PackedSize> {
    return await this.#sizes.sizeOf(plain, size, bytesPerSecond);
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
      level: () => levelFor(this.#packing, this.#pace),
      blockPerChunk,
    })) {
      this.#clocks.untilPacked += lap();
      yield chunk;
      this.#clocks.link += lap();
      if (this.#bytes >= INTERVAL) this.#judge();
    }
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
    this.#pace.judge({ packing: untilPacked - source, link, total: untilPacked + link });
    this.#clocks = { source: 0, untilPacked: 0, link: 0 };
    this.#bytes = 0;
  }
}
