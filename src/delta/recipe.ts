import type { PieceKey } from "./piece-key.ts";

/**
 * The format of a recipe, which lists the contents of a layer's tar in order. A recipe is a sequence of ops, stored in frames
 * (frame.ts); the operands of an op are in several columns. The tar is divided into blocks of 512 bytes. Headers begin, and padding ends,
 * at a block boundary.
 *
 * An op is a number in the column `ops`. Its lowest three bits are one of these codes, and the other bits are its operand.
 */
export const OP = {
  /** The last op. `numbers`: bytes of the whole tar, the count of folders, the length of each; the folders are in `raw`. */
  end: 0,
  /** A header block. Operand: the fields that differ from the last header of the same type (header-diff.ts). */
  header: 1,
  /** Zeros to the end of the block. Operand: the count of zero blocks that follow. */
  zeros: 2,
  /** Bytes in `raw`, up to the end of the block at most. Operand: their count. */
  raw: 3,
  /** A piece, with its key in `keys`. Operand: its length; 0 for the size in the last header. */
  piece: 4,
} as const;
export const OP_CODES = 8;

/** The maximum number of zero blocks of a `zeros` op. */
export const MAX_ZERO_BLOCKS = 127;
/**
 * The maximum number of pieces of a recipe. Further content is sent as `raw`. The largest known images have a million files, and the
 * receiver needs about 33 bytes for each piece: with two million pieces, and data in transit, it took 207 MB (Node 20), with 1.5 million up
 * to 201 MB (Node 24).
 */
export const MAX_PIECES = 1_200_000;

/** A decoded op, in the order of the tar. */
export type Instruction =
  | { kind: "literal"; bytes: Buffer }
  /** `length`: bytes, from 1 to `MAX_PIECE` (chunker.ts). */
  | { kind: "piece"; key: PieceKey; length: number }
  /** `size`: bytes of the whole tar. `folders`: absolute paths of the folders that the layer's files lie in (layer-folders.ts). */
  | { kind: "end"; size: number; folders: string[] };
