import type { PieceKey } from "./piece-key.ts";
import type { Instruction } from "./recipe.ts";

/**
 * With 100,000 keys in the filter, 2 % of all other keys are false positives. The filter takes 512 kB of memory, however many keys it has.
 */
const BITS = 22;

/** A set of piece keys with false positives. It shows whether it is worthwhile to read a tar again. */
export class PieceKeyFilter {
  readonly #bits = new Uint32Array(2 ** (BITS - 5));

  /** Returns false only for a key that was never added. */
  mayHave(key: PieceKey): boolean {
    const bit = bitOf(key);
    return ((this.#bits[bit >>> 5] as number) & (1 << (bit & 31))) !== 0;
  }

  add(key: PieceKey): void {
    const bit = bitOf(key);
    (this.#bits[bit >>> 5] as number) |= 1 << (bit & 31);
  }

  /** Passes a recipe through, and adds the keys of its pieces. */
  async *addAll(recipe: AsyncIterable<Instruction[]>): AsyncGenerator<Instruction[]> {
    for await (const batch of recipe) {
      for (const instruction of batch) if (instruction.kind === "piece") this.add(instruction.key);
      yield batch;
    }
  }
}

function bitOf(key: PieceKey): number {
  return (key.charCodeAt(0) | (key.charCodeAt(1) << 8) | (key.charCodeAt(2) << 16)) & (2 ** BITS - 1);
}
