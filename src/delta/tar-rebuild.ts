import type { FileHandle } from "node:fs/promises";
import { deferred } from "../streams/deferred.ts";
import { FirstFolder } from "./first-folder.ts";
import type { PieceKey } from "./piece-key.ts";
import { PieceTable } from "./piece-table.ts";
import { InvalidRecipe } from "./recipe-errors.ts";
import type { Instruction } from "./recipe.ts";
import { ScatteredWrites } from "./scattered-writes.ts";
import { BLOCK, isHeader, readPath } from "./tar-block.ts";

/** The files in this many bytes of the tar determine the first folder. */
const FIRST = 8 * 1024 * 1024;

/**
 * Rebuilds a layer's tar in a file: {@link TarRebuild.start} reads the recipe, `reusePieces` (reuse-pieces.ts) takes pieces from older
 * tars, and {@link TarRebuild.fill} writes the pieces that are still missing. The caller verifies the layer's diff ID: keys are short,
 * and the sender may be hostile.
 */
export class TarRebuild {
  /** Resolves when the recipe has been read. Rejects with the recipe's error; the file is incomplete in that case. */
  readonly recipeRead: Promise<void>;
  readonly #pieces = new PieceTable();
  readonly #writes: ScatteredWrites;
  /** Bytes of the tar that the recipe has described so far. */
  #described = 0;
  #progress = deferred<void>();
  /** Length of the complete prefix. */
  #complete = 0;
  #prefixGrown = deferred<void>();
  #flushed: Promise<void> = Promise.resolve();
  #isRecipeOver = false;
  #isStopped = false;
  /** The recipe's last instruction. */
  #end: { size: number; folders: string[] } | undefined;
  /** Path of the file that the recipe is describing. */
  #path: string | undefined;
  readonly #firstFolder = new FirstFolder();

  private constructor(writes: ScatteredWrites, recipe: AsyncIterable<readonly Instruction[]>) {
    this.#writes = writes;
    this.recipeRead = this.#readRecipe(recipe).finally(() => {
      this.#isRecipeOver = true;
      this.#progress.resolve();
      this.#wake();
    });
    this.recipeRead.catch(() => {}); // the caller handles it
  }

  /**
   * Starts to read a recipe, and writes all of the tar except its pieces. Older tars can be read at the same time
   * (`reusePiecesAlongRecipe`).
   *
   * @param file open for writing; its content is overwritten, and may be longer than the tar. The caller closes it after {@link stop}. If
   * undefined, nothing is written, because only the list of missing pieces is needed.
   * @param recipe from `decodeRecipe`
   */
  static start(file: FileHandle | undefined, recipe: AsyncIterable<readonly Instruction[]>): TarRebuild {
    return new TarRebuild(new ScatteredWrites(file), recipe);
  }

  async #readRecipe(recipe: AsyncIterable<readonly Instruction[]>): Promise<void> {
    let end: { size: number; folders: string[] } | undefined;
    for await (const batch of recipe) {
      for (const instruction of batch) {
        if (instruction.kind === "literal") this.#literal(instruction.bytes);
        else if (instruction.kind === "piece") this.#piece(instruction.key, instruction.length);
        else end = instruction;
      }
      await this.flush();
      if (this.#described >= FIRST) this.#firstFolder.decide();
      this.#progress.resolve();
      this.#progress = deferred();
    }
    if (end === undefined) throw new InvalidRecipe("the recipe has no end");
    this.#firstFolder.decide();
    this.#end = end;
    await this.flush(); // an empty tar has not been flushed yet
  }

  #literal(bytes: Buffer): void {
    if (bytes.length === BLOCK && isHeader(bytes, 0)) this.#path = readPath(bytes, 0);
    this.#writes.add(bytes, this.#described);
    this.#described += bytes.length;
  }

  #piece(key: PieceKey, length: number): void {
    this.#pieces.add(key, length, this.#described);
    this.#described += length;
    this.#firstFolder.add(this.#path, length);
  }

  /** Bytes of the tar; 0 until the recipe has been read. */
  get size(): number {
    return this.#end?.size ?? 0;
  }

  /** Absolute paths of the folders that contain the layer's files: an older image has their pieces in the same folders. */
  get folders(): readonly string[] {
    return this.#end?.folders ?? [];
  }

  /** Whether reading the recipe has failed. */
  get hasFailed(): boolean {
    return this.#isRecipeOver && !this.isRecipeRead;
  }

  /** Whether the recipe has been read to its end. */
  get isRecipeRead(): boolean {
    return this.#end !== undefined;
  }

  /** Returns the folder that contains all of the tar's first files; undefined if they are in several folders, or if the recipe fails. */
  async firstFolder(): Promise<string | undefined> {
    await this.recipeReaches(FIRST);
    return this.#firstFolder.folder;
  }

  /** Resolves when the recipe has described `bytes` bytes of the tar, or has ended. */
  async recipeReaches(bytes: number): Promise<void> {
    while (!this.#isRecipeOver && this.#described < bytes) await this.#progress.promise;
  }

  /** Bytes of pieces outside {@link firstFolder}. */
  get bytesOutsideFirstFolder(): number {
    return this.#firstFolder.bytesOutside;
  }

  /** Bytes of the distinct pieces that the recipe has named. */
  get distinctBytes(): number {
    return this.#pieces.distinctBytes;
  }

  /** The count and bytes of the distinct pieces that are missing. */
  get missing(): { pieces: number; bytes: number } {
    return this.#pieces.missing;
  }

  /** Returns the bytes of the missing pieces whose keys satisfy `predicate`. */
  missingBytesWhere(predicate: (key: PieceKey) => boolean): number {
    return this.#pieces.missingBytesWhere(predicate);
  }

  /** Returns whether a piece of `length` bytes may be missing. */
  mayNeed(length: number): boolean {
    return this.#pieces.mayNeed(length);
  }

  /** Accepts a piece if it is missing, and returns whether it was. Buffers its bytes until {@link flush}. */
  offer(key: PieceKey, bytes: Uint8Array): boolean {
    const offsets = this.#pieces.take(key, bytes.length);
    for (const offset of offsets) this.#writes.add(bytes, offset);
    return offsets.length > 0;
  }

  /** Writes the accepted pieces; call it about once a megabyte. */
  async flush(): Promise<void> {
    await (this.#flushed = this.#flushed.then(async () => {
      // The earlier writes and the pending ones cover everything up to the first missing piece.
      const complete = Math.min(this.#pieces.firstMissingOffset, this.#described);
      await this.#writes.flush();
      if (complete === this.#complete && !this.isRecipeRead) return;
      this.#complete = complete;
      this.#wake();
    }));
  }

  #wake(): void {
    this.#prefixGrown.resolve();
    this.#prefixGrown = deferred();
  }

  /**
   * Waits until the file's complete prefix is longer than `bytes`, or the tar is complete, and returns the prefix's length. Rejects with
   * the recipe's error, and after {@link stop}. Waits until a piece is accepted, however long that takes.
   */
  async completePrefix(bytes: number): Promise<number> {
    for (;;) {
      if (this.#isStopped) throw new Error("the rebuild was stopped");
      if (this.#complete > bytes || (this.isRecipeRead && this.#complete === this.size)) return this.#complete;
      await (this.hasFailed ? this.recipeRead : this.#prefixGrown.promise);
    }
  }

  /** Returns the ordinals of the missing pieces in the recipe, ascending. Equal pieces have only their first ordinal. */
  missingOrdinals(): Uint32Array {
    return this.#pieces.missingOrdinals();
  }

  /** Stops the rebuild. Resolves after the last write; the file can then be closed. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#wake();
    await Promise.allSettled([this.recipeRead, this.#flushed]);
  }

  /**
   * Writes the missing pieces.
   *
   * @param pieces their bytes, concatenated in the order of {@link missingOrdinals}. The iterator is closed on failure.
   * @throws InvalidRecipe when there are too few bytes or too many
   */
  async fill(pieces: AsyncIterable<Uint8Array>): Promise<void> {
    /**
     * The beginning of a piece that is split between chunks. A piece is written as a whole, because it may be written at very many offsets.
     */
    let partial: Buffer | undefined;
    let filled = 0;
    for await (const chunk of pieces) {
      for (let taken = 0; taken < chunk.length;) {
        const length = this.#pieces.firstMissingLength;
        if (length === undefined) throw new InvalidRecipe("the sender sent more pieces than were requested");
        const part = chunk.subarray(taken, taken + length - filled);
        taken += part.length;
        if (part.length < length) {
          partial ??= Buffer.allocUnsafe(length);
          partial.set(part, filled);
        }
        filled += part.length;
        if (filled < length) continue;
        for (const offset of this.#pieces.takeFirst()) this.#writes.add(partial ?? part, offset);
        partial = undefined;
        filled = 0;
      }
      await this.flush();
    }
    if (this.missing.pieces > 0) throw new InvalidRecipe("the sender sent fewer pieces than were requested");
  }
}
