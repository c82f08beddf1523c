import type { FileHandle } from "node:fs/promises";
import { deferred } from "../streams/deferred.ts";
import { InvalidRecipe } from "./recipe-errors.ts";
import { FirstFolder } from "./first-folder.ts";
import type { PieceKey } from "./piece-key.ts";
import type { Instruction } from "./recipe.ts";
import { ScatteredWrites } from "./scattered-writes.ts";
import { BLOCK, isHeader, readPath } from "./tar-block.ts";
import { PieceTable } from "./piece-table.ts";

/** Bytes of the tar after which its first files tell where the others lie. */
const FIRST = 8 * 1024 * 1024;

/**
 * A layer's tar that is put together in a file: {@link TarRebuild.begin}, then `reusePieces` (take-pieces.ts) of what is there already, then
 * {@link TarRebuild.fill} with what is missing. That the right bytes have come is for the caller to see, by the layer's diff ID: keys
 * are short, and a hostile sender says what it likes.
 */
export class TarRebuild {
  /** Resolves when the recipe has been read to its end. Rejects with what it throws, and then the file is half written. */
  readonly read: Promise<void>;
  readonly #wanted = new PieceTable();
  readonly #writes: ScatteredWrites;
  /** Bytes of the tar that the recipe has told of. */
  #told = 0;
  #progress = deferred<void>();
  /** Bytes of the file's beginning that are what they will be. */
  #filled = 0;
  #moved = deferred<void>();
  #flushed: Promise<void> = Promise.resolve();
  /** Nothing more will be told. */
  #isOver = false;
  #isLeft = false;
  /** What the recipe says at its end. */
  #end: { size: number; folders: string[] } | undefined;
  /** Of the file that the recipe is telling of. */
  #path: string | undefined;
  readonly #first = new FirstFolder();

  private constructor(writes: ScatteredWrites, recipe: AsyncIterable<readonly Instruction[]>) {
    this.#writes = writes;
    this.read = this.#read(recipe).finally(() => {
      this.#isOver = true;
      this.#progress.resolve();
      this.#wake();
    });
    this.read.catch(() => {}); // the caller's
  }

  /**
   * Begins to read a recipe, and writes all but the pieces. What is there already can be taken meanwhile (`reusePiecesAlongRecipe`).
   *
   * @param file Open for writing; what is in it already is written over, and may be longer than the tar. It stays the caller's, who
   * closes it after the last piece is in.
   * @param recipe As `decodeRecipe` gives it.
   */
  static start(file: FileHandle, recipe: AsyncIterable<readonly Instruction[]>): TarRebuild {
    return new TarRebuild(new ScatteredWrites(file), recipe);
  }

  /** The same, and reads it to its end. */
  static async begin(file: FileHandle, recipe: AsyncIterable<readonly Instruction[]>): Promise<TarRebuild> {
    const rebuild = TarRebuild.start(file, recipe);
    await rebuild.read;
    return rebuild;
  }

  async #read(recipe: AsyncIterable<readonly Instruction[]>): Promise<void> {
    let end: { size: number; folders: string[] } | undefined;
    for await (const batch of recipe) {
      for (const instruction of batch) {
        if (instruction.kind === "literal") this.#literal(instruction.bytes);
        else if (instruction.kind === "piece") this.#piece(instruction.key, instruction.length);
        else end = instruction;
      }
      await this.flush();
      if (this.#told >= FIRST) this.#first.decide();
      this.#progress.resolve();
      this.#progress = deferred();
    }
    if (end === undefined) throw new InvalidRecipe("it has no end");
    this.#first.decide();
    this.#end = end;
    await this.flush(); // of a tar of nothing, none was needed
  }

  #literal(bytes: Buffer): void {
    if (bytes.length === BLOCK && isHeader(bytes, 0)) this.#path = readPath(bytes, 0);
    this.#writes.add(bytes, this.#told);
    this.#told += bytes.length;
  }

  #piece(key: PieceKey, length: number): void {
    this.#wanted.add(key, length, this.#told);
    this.#told += length;
    this.#first.add(this.#path, length);
  }

  /** Bytes of the tar, when the recipe has been read. */
  get size(): number {
    return this.#end?.size ?? 0;
  }

  /** Absolute paths, in an image, of the folders in which the layer's files lie: there an older version has what it needs. */
  get folders(): readonly string[] {
    return this.#end?.folders ?? [];
  }

  /** Did the recipe end badly? */
  get hasFailed(): boolean {
    return this.#isOver && !this.isRead;
  }

  /** Has the recipe been read to its end? */
  get isRead(): boolean {
    return this.#end !== undefined;
  }

  /**
   * The one folder in which all of the first files lie, as soon as that is known. Undefined when they lie in several, or the recipe
   * ends badly.
   */
  async firstFolder(): Promise<string | undefined> {
    await this.told(FIRST);
    return this.#first.folder;
  }

  /** Resolves when the recipe has told of so many bytes of the tar, or ends. */
  async told(bytes: number): Promise<void> {
    while (!this.#isOver && this.#told < bytes) await this.#progress.promise;
  }

  /** Bytes of pieces that are not in {@link firstFolder}. */
  get outside(): number {
    return this.#first.outside;
  }

  /** Bytes of different pieces that the recipe has told of. */
  get wanted(): number {
    return this.#wanted.bytes;
  }

  /** How many different pieces are missing, and their bytes. */
  get left(): { pieces: number; bytes: number } {
    return this.#wanted.left;
  }

  /** Bytes of those missing pieces whose key is `among` some. */
  missingBytes(among: (key: PieceKey) => boolean): number {
    return this.#wanted.bytesLeft(among);
  }

  /** Could a content of so many bytes be one that is missing? */
  mayWant(length: number): boolean {
    return this.#wanted.mayWant(length);
  }

  /** Takes a content if it is missing, and tells whether. Holds on to its bytes until {@link flush}. */
  offer(key: PieceKey, bytes: Uint8Array): boolean {
    const offsets = this.#wanted.take(key, bytes.length);
    for (const offset of offsets) this.#writes.add(bytes, offset);
    return offsets.length > 0;
  }

  /** Writes what was taken; call it for each megabyte or so. */
  async flush(): Promise<void> {
    await (this.#flushed = this.#flushed.then(async () => {
      // With what waits now, and what was written before, all is there up to the first piece that is missing.
      const filled = Math.min(this.#wanted.firstOffset, this.#told);
      await this.#writes.flush();
      if (filled === this.#filled && !this.isRead) return;
      this.#filled = filled;
      this.#wake();
    }));
  }

  #wake(): void {
    this.#moved.resolve();
    this.#moved = deferred();
  }

  /**
   * How much of the file's beginning is what it will be, in bytes, as soon as that is more than `bytes`; or all of it, however
   * little. Rejects with what the recipe ends with, when it ends badly, and when this is left. While nothing is taken or filled, it waits.
   */
  async filled(bytes: number): Promise<number> {
    for (;;) {
      if (this.#isLeft) throw new Error("the layer is not made any more");
      if (this.#filled > bytes || (this.isRead && this.#filled === this.size)) return this.#filled;
      await (this.hasFailed ? this.read : this.#moved.promise);
    }
  }

  /** The ordinals of the missing pieces in the recipe, ascending; of those that are the same, the first. */
  missing(): Uint32Array {
    return this.#wanted.missing();
  }

  /** Nothing more is taken or filled. Resolves when nothing more is written: the file can be closed then. */
  async leave(): Promise<void> {
    this.#isLeft = true;
    this.#wake();
    await Promise.allSettled([this.read, this.#flushed]);
  }

  /**
   * Writes the missing pieces, which come one after the other in the order of {@link missing}. Throws {@link InvalidRecipe} when
   * there are too few bytes or too many. Leaves the iterator of `pieces` when it fails.
   */
  async fill(pieces: AsyncIterable<Uint8Array>): Promise<void> {
    /** What has come of a piece that came in several chunks. Written as a whole: it may go to very many places. */
    let begun: Buffer | undefined;
    let filled = 0;
    for await (const chunk of pieces) {
      for (let taken = 0; taken < chunk.length;) {
        const length = this.#wanted.firstLength;
        if (length === undefined) throw new InvalidRecipe("more pieces came than were asked for");
        const part = chunk.subarray(taken, taken + length - filled);
        taken += part.length;
        if (part.length < length) {
          begun ??= Buffer.allocUnsafe(length);
          begun.set(part, filled);
        }
        filled += part.length;
        if (filled < length) continue;
        for (const offset of this.#wanted.takeFirst()) this.#writes.add(begun ?? part, offset);
        begun = undefined;
        filled = 0;
      }
      await this.flush();
    }
    if (this.left.pieces > 0) throw new InvalidRecipe("the pieces end before the last that was asked for");
  }
}
