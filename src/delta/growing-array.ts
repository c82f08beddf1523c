/** Entries of a block: what is not needed is at most a block. */
const BLOCK_BITS = 15;
const BLOCK = 2 ** BLOCK_BITS;

type Numbers = Float64Array | Uint32Array | Int32Array | Uint8Array;

/** An array of numbers that grows without being copied: to double one of 50 MB would take three times its room. All are 0 at first. */
export class Column<T extends Numbers> {
  readonly #blocks: T[] = [];
  readonly #make: (length: number) => T;

  constructor(make: (length: number) => T) {
    this.#make = make;
  }

  get(index: number): number {
    return (this.#blocks[index >>> BLOCK_BITS] as T)[index & (BLOCK - 1)] as number;
  }

  /** Makes room for so many entries, and makes all of them 0. */
  clear(length: number): void {
    for (const block of this.#blocks) block.fill(0);
    while (this.#blocks.length * BLOCK < length) this.#blocks.push(this.#make(BLOCK));
  }

  /** `index`: at most one more than the highest so far. */
  set(index: number, value: number): void {
    const block = (this.#blocks[index >>> BLOCK_BITS] ??= this.#make(BLOCK));
    block[index & (BLOCK - 1)] = value;
  }
}
