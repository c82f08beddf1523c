import type { Segment } from "./cut-tar.ts";
import { FrameWriter } from "./frame.ts";
import { HeaderDiff } from "./header-diff.ts";
import { LayerFolders } from "./layer-folders.ts";
import { pieceKeyOf } from "./piece-key.ts";
import { MAX_PIECES, MAX_ZERO_BLOCKS, OP, OP_CODES } from "./recipe.ts";
import { BLOCK, isHeader, isZeros } from "./tar-block.ts";

/** Receives each piece of a recipe, in order. */
export interface PieceObserver {
  /** Both arguments are in bytes. `offset` counts from the start of the tar. */
  add(offset: number, length: number): void;
}

/** A frame describes about this many bytes of the tar at most: the receiver rebuilds them as soon as the frame arrives. */
const FRAME_SPAN = 16 * 1024 * 1024;

export interface RecipeOptions {
  pieces?: PieceObserver;
  /** Default: the maximum that a decoder accepts. Content after the last piece is encoded as raw bytes. */
  maxPieces?: number;
}

/**
 * Encodes the recipe of a tar while the tar is cut, and yields its frames. Compress them as one stream: for a tar of node_modules, brotli
 * level 5 leaves 8 bytes for each piece and 7 for each header (12 if each has a pax header as well), in total 170 kB for 235 MB. Memory
 * does not grow with the tar.
 */
export async function* encodeRecipe(
  segments: AsyncIterable<readonly Segment[]>,
  options: RecipeOptions = {},
): AsyncGenerator<Buffer> {
  const encoder = new RecipeEncoder(options);
  let yielded = 0;
  for await (const batch of segments) {
    for (const segment of batch) {
      encoder.add(segment);
      if (!encoder.frame.isFull && encoder.offset < yielded + FRAME_SPAN) continue;
      yield encoder.frame.frame();
      yielded = encoder.offset;
    }
  }
  encoder.end();
  yield encoder.frame.frame();
}

class RecipeEncoder {
  readonly frame = new FrameWriter();
  readonly #headers = new HeaderDiff();
  readonly #folders = new LayerFolders();
  readonly #observer: PieceObserver | undefined;
  readonly #maxPieces: number;
  #count = 0;
  #offset = 0;
  /** The end of a literal that does not yet reach the end of its block. */
  #pending: Buffer = Buffer.alloc(0);

  constructor({ pieces, maxPieces = MAX_PIECES }: RecipeOptions) {
    this.#observer = pieces;
    this.#maxPieces = maxPieces;
  }

  add(segment: Segment): void {
    if (segment.kind === "content") this.#folders.add(segment.path);
    if (segment.kind === "literal" || this.#count >= this.#maxPieces) this.#literal(segment.bytes);
    else this.#piece(segment.bytes);
  }

  /** Bytes of the tar that have been encoded. */
  get offset(): number {
    return this.#offset;
  }

  end(): void {
    this.#raw(this.#pending);
    const folders = this.#folders.list().map((folder) => Buffer.from(folder));
    this.#op(OP.end, 0);
    for (const number of [this.#offset, folders.length]) this.frame.number("numbers", number);
    for (const folder of folders) {
      this.frame.number("numbers", folder.length);
      this.frame.bytes("raw", folder);
    }
  }

  #piece(bytes: Buffer): void {
    this.#raw(this.#pending);
    this.#pending = bytes.subarray(0, 0);
    this.#observer?.add(this.#offset, bytes.length);
    this.#op(OP.piece, bytes.length === this.#headers.size ? 0 : bytes.length);
    this.frame.bytes("keys", Buffer.from(pieceKeyOf(bytes), "latin1"));
    this.#count += 1;
    this.#offset += bytes.length;
  }

  #literal(bytes: Buffer): void {
    let rest = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes]);
    while (rest.length >= this.#toBlockEnd) rest = rest.subarray(this.#block(rest));
    this.#pending = rest;
  }

  /** Encodes the next block or a part of it, and returns the number of bytes encoded. */
  #block(bytes: Buffer): number {
    const room = this.#toBlockEnd;
    if (isZeros(bytes, 0, room)) return this.#zeros(bytes, room);
    if (room < BLOCK || !isHeader(bytes, 0)) return this.#raw(bytes.subarray(0, withoutZeros(bytes, room)));
    this.#op(OP.header, this.#headers.write(bytes.subarray(0, BLOCK), this.frame));
    this.#offset += BLOCK;
    return BLOCK;
  }

  #zeros(bytes: Buffer, room: number): number {
    let end = room;
    let blocks = 0;
    for (; blocks < MAX_ZERO_BLOCKS && end + BLOCK <= bytes.length && isZeros(bytes, end, end + BLOCK); blocks += 1)
      end += BLOCK;
    this.#op(OP.zeros, blocks);
    this.#offset += end;
    return end;
  }

  #raw(bytes: Buffer): number {
    if (bytes.length === 0) return 0;
    this.#op(OP.raw, bytes.length);
    this.frame.bytes("raw", bytes);
    this.#offset += bytes.length;
    return bytes.length;
  }

  #op(code: number, operand: number): void {
    this.frame.number("ops", operand * OP_CODES + code);
  }

  get #toBlockEnd(): number {
    return BLOCK - (this.#offset % BLOCK);
  }
}

/** Returns `length` without the zeros at the end. */
function withoutZeros(bytes: Buffer, length: number): number {
  let end = length;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  return end;
}
