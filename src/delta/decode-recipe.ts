import { InvalidRecipe, TruncatedRecipe } from "./recipe-errors.ts";
import { MAX_PIECE } from "./chunker.ts";
import { FrameReader, FRAME_HEADER, readFrameHeader, totalOf } from "./frame.ts";
import { HeaderDiff } from "./header-diff.ts";
import { PIECE_KEY_BYTES } from "./piece-key.ts";
import { MAX_EMPTY, MAX_PIECES, OP, OP_VALUES, type Instruction } from "./recipe.ts";
import { isFolderPath, MAX_FOLDERS } from "./layer-folders.ts";
import { BLOCK } from "./tar-block.ts";

/** Bytes of literals, or pieces, after which a batch is handed over: empty blocks take little room in a frame. */
const BATCH = { bytes: 1024 * 1024, instructions: 4096 };

export interface RecipeLimits {
  /** Bytes of the tar that it makes. */
  maxSize: number;
  maxPieces?: number;
}

/**
 * Reads a recipe, which is hostile input: throws {@link InvalidRecipe} for what is malformed, followed by something, or makes more
 * than is allowed, and {@link TruncatedRecipe} for what is cut off. The last instruction, and only that one, is the end. Batches are never empty; what is in
 * memory does not grow with the recipe. Leaves `chunks`' iterator when it is left.
 */
export async function* decodeRecipe(
  chunks: AsyncIterable<Uint8Array>,
  limits: RecipeLimits,
): AsyncGenerator<Instruction[]> {
  const decoder = new Decoder(limits);
  for await (const columns of framesOf(chunks)) yield* decoder.read(columns);
  if (!decoder.isEnded) throw new TruncatedRecipe("its recipe ends in the middle");
}

async function* framesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<FrameReader> {
  let lengths: number[] | undefined;
  let part = Buffer.alloc(FRAME_HEADER);
  let filled = 0;
  for await (const chunk of chunks) {
    for (let taken = 0; taken < chunk.length;) {
      const some = chunk.subarray(taken, taken + part.length - filled);
      part.set(some, filled);
      filled += some.length;
      taken += some.length;
      if (filled < part.length) continue;
      if (lengths === undefined) {
        lengths = readFrameHeader(part);
        part = Buffer.alloc(totalOf(lengths));
      } else {
        yield new FrameReader(part, lengths);
        lengths = undefined;
        part = Buffer.alloc(FRAME_HEADER);
      }
      filled = 0;
    }
  }
  if (lengths !== undefined || filled > 0) throw new TruncatedRecipe("its recipe ends in the middle");
}

/** Zeros of which literals are views. */
const ZEROS = Buffer.alloc((1 + MAX_EMPTY) * BLOCK);

class Decoder {
  isEnded = false;
  readonly #maxSize: number;
  readonly #maxPieces: number;
  readonly #headers = new HeaderDiff();
  #pieces = 0;
  /** Bytes of the tar so far. */
  #offset = 0;

  constructor({ maxSize, maxPieces = MAX_PIECES }: RecipeLimits) {
    this.#maxSize = maxSize;
    this.#maxPieces = maxPieces;
  }

  *read(columns: FrameReader): Generator<Instruction[]> {
    if (!columns.has("ops")) throw new InvalidRecipe("a part of it is empty");
    let batch: Instruction[] = [];
    let begun = this.#offset;
    while (columns.has("ops")) {
      if (this.isEnded) throw new InvalidRecipe("something comes behind its end");
      batch.push(this.#instruction(columns));
      if (this.#offset > this.#maxSize)
        throw new InvalidRecipe(`it makes more than the ${this.#maxSize} bytes that are allowed`);
      if (this.#offset - begun < BATCH.bytes && batch.length < BATCH.instructions) continue;
      yield batch;
      batch = [];
      begun = this.#offset;
    }
    if (!columns.isEmpty) throw new InvalidRecipe("a part of it has more than it should");
    if (batch.length > 0) yield batch;
  }

  #instruction(columns: FrameReader): Instruction {
    const number = columns.number("ops");
    const value = Math.floor(number / OP_VALUES);
    switch (number % OP_VALUES) {
      case OP.header:
        this.#refuseUnless(this.#offset % BLOCK === 0, "it has a header in the middle of a block");
        return this.#literal(this.#headers.read(value, columns));
      case OP.zeros:
        this.#refuseUnless(value <= MAX_EMPTY, "it has too many empty blocks");
        return this.#literal(ZEROS.subarray(0, this.#toBlocksEnd + value * BLOCK));
      case OP.text:
        this.#refuseUnless(value > 0 && value <= this.#toBlocksEnd, "it has a text of a wrong length");
        return this.#literal(Buffer.from(columns.bytes("texts", value)));
      case OP.piece:
        return this.#piece(value === 0 ? this.#headers.size : value, columns);
      case OP.end:
        this.#refuseUnless(value === 0, "its end is malformed");
        return this.#end(columns);
      default:
        throw new InvalidRecipe("it says something that is not known here");
    }
  }

  #literal(bytes: Buffer): Instruction {
    this.#offset += bytes.length;
    return { kind: "literal", bytes };
  }

  #piece(length: number | undefined, columns: FrameReader): Instruction {
    if (length === undefined || length === 0 || length > MAX_PIECE)
      throw new InvalidRecipe("a piece has a wrong length");
    this.#pieces += 1;
    this.#refuseUnless(this.#pieces <= this.#maxPieces, "it has too many pieces");
    this.#offset += length;
    return { kind: "piece", key: columns.bytes("keys", PIECE_KEY_BYTES).toString("latin1"), length };
  }

  #end(columns: FrameReader): Instruction {
    this.isEnded = true;
    this.#refuseUnless(columns.number("numbers") === this.#offset, "it makes another size than it says");
    const count = columns.number("numbers");
    this.#refuseUnless(count <= MAX_FOLDERS, "it has too many roots");
    const folders = Array.from({ length: count }, () => columns.bytes("texts", columns.number("numbers")).toString());
    this.#refuseUnless(folders.every(isFolderPath), "it has a root that is no path in an image");
    return { kind: "end", size: this.#offset, folders };
  }

  #refuseUnless(isRight: boolean, what: string): void {
    if (!isRight) throw new InvalidRecipe(what);
  }

  get #toBlocksEnd(): number {
    return BLOCK - (this.#offset % BLOCK);
  }
}
