import type { PieceKey } from "./piece-key.ts";

/**
 * The form of a recipe: what a layer's tar is made of. It is a row of ops, in frames (columns.ts); what an op consists of lies
 * in several columns. The tar is seen as blocks of 512 bytes, which is where headers lie and where padding ends.
 *
 * An op is a number in the column `ops`; the lowest three bits say which.
 */
export const OP = {
  /** The last one. `numbers`: bytes of the whole tar, how many roots; for each its length, and itself in `texts`. */
  end: 0,
  /** A header's block. The other bits: which fields are not as in the last one of its type (header-code.ts). */
  header: 1,
  /** Zeros to the end of the block. The other bits: how many empty blocks come behind it. */
  zeros: 2,
  /** Bytes, in `texts`, none beyond the end of the block. The other bits: how many. */
  text: 3,
  /** A piece, its key in `keys`. The other bits: its length; 0 for that which the last header gives. */
  piece: 4,
} as const;
export const OP_VALUES = 8;

/** Empty blocks of one `zeros`. */
export const MAX_EMPTY = 127;
/**
 * Pieces of a recipe. The largest images that are known have a million files, and whoever rebuilds holds some 33 bytes for each: with
 * two million, and what is on its way meanwhile, it had 207 MB. What comes behind so many is text.
 */
export const MAX_PIECES = 1_500_000;

/** What a recipe says, in the order of the tar. */
export type Instruction =
  | { kind: "literal"; bytes: Buffer }
  /** `length`: bytes, at most those of the largest piece (chunker.ts), and never 0. */
  | { kind: "piece"; key: PieceKey; length: number }
  /** `size`: bytes of the whole tar. `roots`: absolute paths of the folders in which its files lie (roots.ts). */
  | { kind: "end"; size: number; folders: string[] };
