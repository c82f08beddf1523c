import type { FileHandle } from "node:fs/promises";
import { MAX_PIECE } from "./chunker.ts";
import type { PieceObserver } from "./encode-recipe.ts";

/** The maximum bytes of one read, and the maximum bytes between two pieces of the same read (a header and padding). */
const READ = { bytes: 1024 * 1024, gap: 4096 };

/** The offsets and lengths of a recipe's pieces in the tar on the sending side, by ordinal. Takes 12 bytes for each piece. */
export class PieceIndex implements PieceObserver {
  #offsets = new Float64Array(1024);
  #lengths = new Uint32Array(1024);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** Called by `encodeRecipe`. */
  add(offset: number, length: number): void {
    if (this.#count === this.#offsets.length) {
      this.#offsets = doubled(this.#offsets, new Float64Array(2 * this.#count));
      this.#lengths = doubled(this.#lengths, new Uint32Array(2 * this.#count));
    }
    this.#offsets[this.#count] = offset;
    this.#lengths[this.#count] = length;
    this.#count += 1;
  }

  /**
   * Reads missing pieces, one after the other, from the file of the tar that was cut. Throws when the file has become shorter.
   *
   * @param tar stays open: the caller owns it
   * @param missing ordinals from `decodeMissingPieces`
   */
  async *read(tar: FileHandle, missing: Uint32Array): AsyncGenerator<Buffer> {
    for (let at = 0; at < missing.length;) {
      const start = this.#startOf(missing, at);
      let end = start;
      let next = at;
      for (; next < missing.length; next += 1) {
        const begin = this.#startOf(missing, next);
        if (begin - end > READ.gap || begin + MAX_PIECE - start > READ.bytes) break;
        end = begin + this.#lengthOf(missing, next);
      }
      const bytes = await readAll(tar, start, end - start);
      for (; at < next; at += 1) {
        const begin = this.#startOf(missing, at) - start;
        yield bytes.subarray(begin, begin + this.#lengthOf(missing, at));
      }
    }
  }

  #startOf(missing: Uint32Array, at: number): number {
    return this.#offsets[missing[at] as number] as number;
  }

  #lengthOf(missing: Uint32Array, at: number): number {
    return this.#lengths[missing[at] as number] as number;
  }
}

async function readAll(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  for (let filled = 0; filled < length;) {
    const { bytesRead } = await file.read(bytes, filled, length - filled, position + filled);
    if (bytesRead === 0) throw new Error("a layer's file became shorter while it was read");
    filled += bytesRead;
  }
  return bytes;
}

function doubled<T extends Float64Array | Uint32Array>(old: T, larger: T): T {
  larger.set(old);
  return larger;
}
