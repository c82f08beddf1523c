import { InvalidRecipe, TruncatedRecipe } from "./recipe-errors.ts";
import { MAX_PIECE } from "./chunker.ts";
import { FrameReader, FRAME_HEADER, frameSize, readFrameHeader } from "./frame.ts";
import { HeaderDiff } from "./header-diff.ts";
import { PIECE_KEY_BYTES } from "./piece-key.ts";
import { MAX_ZERO_BLOCKS, MAX_PIECES, OP, OP_CODES, type Instruction } from "./recipe.ts";
import { isFolderPath, MAX_FOLDERS } from "./layer-folders.ts";
import { BLOCK } from "./tar-block.ts";

/** A batch is yielded after this many bytes of the tar, or instructions: a small frame can encode many zero blocks. */
const BATCH = { bytes: 1024 * 1024, instructions: 4096 };

export interface RecipeLimits {
  /** Bytes of the tar that the recipe describes. */
  maxSize: number;
  maxPieces?: number;
}

/**
 * Decodes a recipe, which is hostile input. Throws {@link InvalidRecipe} when it is malformed, exceeds `limits`, or has data after its
 * end, and {@link TruncatedRecipe} when it ends early. Only the last instruction is `end`. Batches are never empty. Memory
 * does not grow with the recipe. Closes `chunks`' iterator when it is itself closed.
 */
export async function* decodeRecipe(
  chunks: AsyncIterable<Uint8Array>,
  limits: RecipeLimits,
): AsyncGenerator<Instruction[]> {
  const decoder = new RecipeDecoder(limits);
  for await (const frame of framesOf(chunks)) yield* decoder.read(frame);
  if (!decoder.isEnded) throw new TruncatedRecipe("the recipe is truncated");
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
        part = Buffer.alloc(frameSize(lengths));
      } else {
        yield new FrameReader(part, lengths);
        lengths = undefined;
        part = Buffer.alloc(FRAME_HEADER);
      }
      filled = 0;
    }
  }
  if (lengths !== undefined || filled > 0) throw new TruncatedRecipe("the recipe is truncated");
}

/** The bytes of `zeros` ops. Their literals are views into this buffer. */
const ZEROS = Buffer.alloc((1 + MAX_ZERO_BLOCKS) * BLOCK);

class RecipeDecoder {
  isEnded = false;
  readonly #maxSize: number;
  readonly #maxPieces: number;
  readonly #headers = new HeaderDiff();
  #pieces = 0;
  /** Bytes of the tar that the instructions have described so far. */
  #offset = 0;

  constructor({ maxSize, maxPieces = MAX_PIECES }: RecipeLimits) {
    this.#maxSize = maxSize;
    this.#maxPieces = maxPieces;
  }

  *read(frame: FrameReader): Generator<Instruction[]> {
    if (!frame.has("ops")) throw new InvalidRecipe("a frame of the recipe is empty");
    let batch: Instruction[] = [];
    let batchStart = this.#offset;
    while (frame.has("ops")) {
      if (this.isEnded) throw new InvalidRecipe("the recipe continues after its end");
      batch.push(this.#instruction(frame));
      if (this.#offset > this.#maxSize)
        throw new InvalidRecipe(`the recipe describes more than the ${this.#maxSize} bytes allowed`);
      if (this.#offset - batchStart < BATCH.bytes && batch.length < BATCH.instructions) continue;
      yield batch;
      batch = [];
      batchStart = this.#offset;
    }
    if (!frame.isEmpty) throw new InvalidRecipe("a frame of the recipe has unused bytes");
    if (batch.length > 0) yield batch;
  }

  #instruction(frame: FrameReader): Instruction {
    const op = frame.number("ops");
    const value = Math.floor(op / OP_CODES);
    switch (op % OP_CODES) {
      case OP.header:
        this.#refuseUnless(this.#offset % BLOCK === 0, "a header does not begin on a block");
        return this.#literal(this.#headers.read(value, frame));
      case OP.zeros:
        this.#refuseUnless(value <= MAX_ZERO_BLOCKS, "there are too many zero blocks");
        return this.#literal(ZEROS.subarray(0, this.#toBlockEnd + value * BLOCK));
      case OP.raw:
        this.#refuseUnless(value > 0 && value <= this.#toBlockEnd, "raw bytes have a wrong length");
        return this.#literal(Buffer.from(frame.bytes("raw", value)));
      case OP.piece:
        return this.#piece(value === 0 ? this.#headers.size : value, frame);
      case OP.end:
        this.#refuseUnless(value === 0, "its end is malformed");
        return this.#end(frame);
      default:
        throw new InvalidRecipe("the recipe has an unknown op");
    }
  }

  #literal(bytes: Buffer): Instruction {
    this.#offset += bytes.length;
    return { kind: "literal", bytes };
  }

  #piece(length: number | undefined, frame: FrameReader): Instruction {
    if (length === undefined || length === 0 || length > MAX_PIECE)
      throw new InvalidRecipe("a piece of the recipe has a wrong length");
    this.#pieces += 1;
    this.#refuseUnless(this.#pieces <= this.#maxPieces, "there are too many pieces");
    this.#offset += length;
    return { kind: "piece", key: frame.bytes("keys", PIECE_KEY_BYTES).toString("latin1"), length };
  }

  #end(frame: FrameReader): Instruction {
    this.isEnded = true;
    this.#refuseUnless(frame.number("numbers") === this.#offset, "the size at its end differs from its content");
    const count = frame.number("numbers");
    this.#refuseUnless(count <= MAX_FOLDERS, "there are too many folders");
    const folders = Array.from({ length: count }, () => frame.bytes("raw", frame.number("numbers")).toString());
    this.#refuseUnless(folders.every(isFolderPath), "a folder is not an absolute path");
    return { kind: "end", size: this.#offset, folders };
  }

  #refuseUnless(isValid: boolean, problem: string): void {
    if (!isValid) throw new InvalidRecipe(`the recipe is invalid: ${problem}`);
  }

  get #toBlockEnd(): number {
    return BLOCK - (this.#offset % BLOCK);
  }
}
