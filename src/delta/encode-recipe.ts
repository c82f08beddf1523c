import { FrameWriter } from "./frame.ts";
import type { Segment } from "./cut-tar.ts";
import { HeaderDiff } from "./header-diff.ts";
import { pieceKeyOf } from "./piece-key.ts";
import { MAX_EMPTY, MAX_PIECES, OP, OP_VALUES } from "./recipe.ts";
import { LayerFolders } from "./layer-folders.ts";
import { BLOCK, isEmpty, isHeader } from "./tar-block.ts";

/** Hears of each piece of a recipe, in order. */
export interface PieceObserver {
  /** In bytes, from the tar's beginning. */
  add(offset: number, length: number): void;
}

/** Bytes of the tar that a frame tells of at most, or little more: whoever reads goes on with what has been told. */
const FRAME_SPAN = 16 * 1024 * 1024;

export interface RecipeOptions {
  pieces?: PieceObserver;
  /** Left out: as many as whoever reads it takes. Contents that come later are told as they are. */
  maxPieces?: number;
}

/**
 * The recipe of a tar that has been cut, as it comes. Made to be compressed as one stream: of a tar of node_modules,
 * brotli's level 5 leaves 8 bytes for each piece and 7 for each header (12 where each has a pax header as well): of 235 MB, 170 kB.
 * Memory does not grow with the tar.
 */
export async function* encodeRecipe(
  segments: AsyncIterable<readonly Segment[]>,
  options: RecipeOptions = {},
): AsyncGenerator<Buffer> {
  const encoder = new Encoder(options);
  let told = 0;
  for await (const batch of segments) {
    for (const segment of batch) {
      encoder.add(segment);
      if (!encoder.columns.isFull && encoder.told < told + FRAME_SPAN) continue;
      yield encoder.columns.frame();
      told = encoder.told;
    }
  }
  encoder.end();
  yield encoder.columns.frame();
}

class Encoder {
  readonly columns = new FrameWriter();
  readonly #headers = new HeaderDiff();
  readonly #folders = new LayerFolders();
  readonly #pieces: PieceObserver | undefined;
  readonly #maxPieces: number;
  #count = 0;
  /** Bytes of the tar that are told. */
  #offset = 0;
  /** Of a literal, what does not reach the end of its block yet. */
  #pending: Buffer = Buffer.alloc(0);

  constructor({ pieces, maxPieces = MAX_PIECES }: RecipeOptions) {
    this.#pieces = pieces;
    this.#maxPieces = maxPieces;
  }

  add(segment: Segment): void {
    if (segment.kind === "content") this.#folders.add(segment.path);
    if (segment.kind === "literal" || this.#count >= this.#maxPieces) this.#literal(segment.bytes);
    else this.#piece(segment.bytes);
  }

  /** Bytes of the tar. */
  get told(): number {
    return this.#offset;
  }

  end(): void {
    this.#text(this.#pending);
    const folders = this.#folders.list().map((root) => Buffer.from(root));
    this.#op(OP.end, 0);
    for (const number of [this.#offset, folders.length]) this.columns.number("numbers", number);
    for (const root of folders) {
      this.columns.number("numbers", root.length);
      this.columns.bytes("texts", root);
    }
  }

  #piece(bytes: Buffer): void {
    this.#text(this.#pending);
    this.#pending = bytes.subarray(0, 0);
    this.#pieces?.add(this.#offset, bytes.length);
    this.#op(OP.piece, bytes.length === this.#headers.size ? 0 : bytes.length);
    this.columns.bytes("keys", Buffer.from(pieceKeyOf(bytes), "latin1"));
    this.#count += 1;
    this.#offset += bytes.length;
  }

  #literal(bytes: Buffer): void {
    let rest = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes]);
    while (rest.length >= this.#toBlocksEnd) rest = rest.subarray(this.#block(rest));
    this.#pending = rest;
  }

  /** Tells what the next block is, or a part of it, and how many bytes that was. */
  #block(bytes: Buffer): number {
    const room = this.#toBlocksEnd;
    if (isEmpty(bytes, 0, room)) return this.#zeros(bytes, room);
    if (room < BLOCK || !isHeader(bytes, 0)) return this.#text(bytes.subarray(0, withoutZeros(bytes, room)));
    this.#op(OP.header, this.#headers.write(bytes.subarray(0, BLOCK), this.columns));
    this.#offset += BLOCK;
    return BLOCK;
  }

  #zeros(bytes: Buffer, room: number): number {
    let end = room;
    let blocks = 0;
    for (; blocks < MAX_EMPTY && end + BLOCK <= bytes.length && isEmpty(bytes, end, end + BLOCK); blocks += 1)
      end += BLOCK;
    this.#op(OP.zeros, blocks);
    this.#offset += end;
    return end;
  }

  #text(bytes: Buffer): number {
    if (bytes.length === 0) return 0;
    this.#op(OP.text, bytes.length);
    this.columns.bytes("texts", bytes);
    this.#offset += bytes.length;
    return bytes.length;
  }

  #op(op: number, value: number): void {
    this.columns.number("ops", value * OP_VALUES + op);
  }

  get #toBlocksEnd(): number {
    return BLOCK - (this.#offset % BLOCK);
  }
}

function withoutZeros(bytes: Buffer, length: number): number {
  let end = length;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  return end;
}
