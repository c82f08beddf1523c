import { hash } from "node:crypto";

/** Bytes of a {@link PieceKey}. */
export const PIECE_KEY_BYTES = 8;

/**
 * What a piece of content is found by: the first 8 bytes of its SHA-256, a character for each. Two pieces of the same key are
 * possible, for a sender who means harm: a layer counts when its own digest is right, and not before.
 */
export type PieceKey = string;

export function pieceKeyOf(content: Uint8Array): PieceKey {
  return hash("sha256", content, "buffer").toString("latin1", 0, PIECE_KEY_BYTES);
}
