import type { FileHandle } from "node:fs/promises";
import { BadRecipe } from "./bad-recipe.ts";
import { cut } from "./cut.ts";
import { keyOf, type Key } from "./key.ts";
import type { Instruction } from "./recipe.ts";
import { ScatteredWrites } from "./scattered-writes.ts";
import { Wanted } from "./wanted.ts";

/**
 * A layer's tar that is put together in a file: {@link Rebuild.begin}, then {@link takePieces} of what is there already, then
 * {@link Rebuild.fill} with what is missing. That the right bytes have come is for the caller to see, by the layer's diff ID: keys
 * are short, and a hostile sender says what it likes.
 */
export class Rebuild {
  /** Bytes of the tar. */
  readonly size: number;
  /** Absolute paths, in an image, of the folders in which the layer's files lie: there an older version has what it needs. */
  readonly roots: readonly string[];
  readonly #wanted: Wanted;
  readonly #writes: ScatteredWrites;

  private constructor(size: number, roots: string[], wanted: Wanted, writes: ScatteredWrites) {
    this.size = size;
    this.roots = roots;
    this.#wanted = wanted;
    this.#writes = writes;
  }

  /**
   * Reads a recipe to its end, and writes all but the pieces.
   *
   * @param file Empty, open for writing. It stays the caller's, who closes it after the last piece is in.
   * @param recipe As `decodeRecipe` gives it. What it throws is passed on, and leaves the file half written.
   */
  static async begin(file: FileHandle, recipe: AsyncIterable<readonly Instruction[]>): Promise<Rebuild> {
    const wanted = new Wanted();
    const writes = new ScatteredWrites(file);
    let offset = 0;
    let roots: string[] | undefined;
    for await (const batch of recipe) {
      for (const instruction of batch) {
        if (instruction.kind === "literal") {
          writes.add(instruction.bytes, offset);
          offset += instruction.bytes.length;
        } else if (instruction.kind === "piece") {
          wanted.add(instruction.key, instruction.length, offset);
          offset += instruction.length;
        } else roots = instruction.roots;
      }
      await writes.flush();
    }
    if (roots === undefined) throw new BadRecipe("it has no end");
    return new Rebuild(offset, roots, wanted, writes);
  }

  /** How many different pieces are missing, and their bytes. */
  get left(): { pieces: number; bytes: number } {
    return this.#wanted.left;
  }

  /** Bytes of those missing pieces whose key is `among` some. */
  missingBytes(among: (key: Key) => boolean): number {
    return this.#wanted.bytesLeft(among);
  }

  /** Could a content of so many bytes be one that is missing? */
  mayWant(length: number): boolean {
    return this.#wanted.mayWant(length);
  }

  /** Takes a content if it is missing, and tells whether. Holds on to its bytes until {@link flush}. */
  offer(key: Key, bytes: Uint8Array): boolean {
    const offsets = this.#wanted.take(key, bytes.length);
    for (const offset of offsets) this.#writes.add(bytes, offset);
    return offsets.length > 0;
  }

  /** Writes what was taken; call it for each megabyte or so. */
  async flush(): Promise<void> {
    await this.#writes.flush();
  }

  /** The ordinals of the missing pieces in the recipe, ascending; of those that are the same, the first. */
  missing(): Uint32Array {
    return this.#wanted.missing();
  }

  /**
   * Writes the missing pieces, which come one after the other in the order of {@link missing}. Throws {@link BadRecipe} when
   * there are too few bytes or too many. Leaves the iterator of `pieces` when it fails.
   */
  async fill(pieces: AsyncIterable<Uint8Array>): Promise<void> {
    const missing = this.missing();
    let at = 0;
    /** What has come of a piece that came in several chunks. Written as a whole: it may go to very many places. */
    let begun: Buffer | undefined;
    let filled = 0;
    for await (const chunk of pieces) {
      for (let taken = 0; taken < chunk.length;) {
        const ordinal = missing[at];
        if (ordinal === undefined) throw new BadRecipe("more pieces came than were asked for");
        const length = this.#wanted.lengthOf(ordinal);
        const part = chunk.subarray(taken, taken + length - filled);
        taken += part.length;
        if (part.length < length) {
          begun ??= Buffer.allocUnsafe(length);
          begun.set(part, filled);
        }
        filled += part.length;
        if (filled < length) continue;
        for (const offset of this.#wanted.offsetsOf(ordinal)) this.#writes.add(begun ?? part, offset);
        begun = undefined;
        filled = 0;
        at += 1;
      }
      await this.flush();
    }
    if (at < missing.length) throw new BadRecipe("the pieces end before the last that was asked for");
    this.#wanted.clear();
  }
}

/**
 * Cuts a tar, a layer's or a part of an image, and gives its contents to a rebuild that misses them. Returns when it is at its end,
 * or nothing is missing; then it leaves the tar's iterator.
 */
export async function takePieces(tar: AsyncIterable<Uint8Array>, rebuild: Rebuild): Promise<void> {
  if (rebuild.left.pieces === 0) return;
  for await (const batch of cut(tar)) {
    for (const { kind, bytes } of batch) {
      if (kind === "content" && rebuild.mayWant(bytes.length)) rebuild.offer(keyOf(bytes), bytes);
    }
    await rebuild.flush();
    if (rebuild.left.pieces === 0) return;
  }
}
