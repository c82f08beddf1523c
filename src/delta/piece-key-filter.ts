import type { PieceKey } from "./piece-key.ts";
import type { Instruction } from "./recipe.ts";

/** Of 100,000 keys, 2 in 100 others seem to be there; the memory stays 512 kB, however many there are. */
const BITS = 22;

/** Remembers keys, well enough to know whether it is worth while to look for them. */
export class PieceKeyFilter {
  readonly #bits = new Uint32Array(2 ** (BITS - 5));

  /** False: it is not one of them. True: it most likely is. */
  mayHave(key: PieceKey): boolean {
    const bit = bitOf(key);
    return ((this.#bits[bit >>> 5] as number) & (1 << (bit & 31))) !== 0;
  }

  note(key: PieceKey): void {
    const bit = bitOf(key);
    (this.#bits[bit >>> 5] as number) |= 1 << (bit & 31);
  }

  /** Passes a recipe on, and notes its pieces' keys. */
  async *noting(recipe: AsyncIterable<Instruction[]>): AsyncGenerator<Instruction[]> {
    for await (const batch of recipe) {
      for (const instruction of batch) if (instruction.kind === "piece") this.note(instruction.key);
      yield batch;
    }
  }
}

function bitOf(key: PieceKey): number {
  return (key.charCodeAt(0) | (key.charCodeAt(1) << 8) | (key.charCodeAt(2) << 16)) & (2 ** BITS - 1);
}
