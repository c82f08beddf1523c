/** Entries of a block. At most one block is allocated unnecessarily. */
const BLOCK_BITS = 15;
const BLOCK = 2 ** BLOCK_BITS;

type Numbers = Float64Array | Uint32Array | Int32Array | Uint8Array;

/**
 * An array of numbers, initially 0. It grows by blocks without copying: doubling a typed array of 50 MB would take three times its memory.
 */
export class GrowingArray<T extends Numbers> {
  readonly #blocks: T[] = [];
  readonly #allocate: (length: number) => T;

  constructor(allocate: (length: number) => T) {
    this.#allocate = allocate;
  }

  get(index: number): number {
    return (this.#blocks[index >>> BLOCK_BITS] as T)[index & (BLOCK - 1)] as number;
  }

  /** Allocates at least `length` entries and sets all entries to 0. */
  clear(length: number): void {
    for (const block of this.#blocks) block.fill(0);
    while (this.#blocks.length * BLOCK < length) this.#blocks.push(this.#allocate(BLOCK));
  }

  /** @param index at most one more than the highest index so far */
  set(index: number, value: number): void {
    const block = (this.#blocks[index >>> BLOCK_BITS] ??= this.#allocate(BLOCK));
    block[index & (BLOCK - 1)] = value;
  }
}
