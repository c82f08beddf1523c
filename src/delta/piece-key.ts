import { hash } from "node:crypto";

/** Bytes of a {@link PieceKey}. */
export const PIECE_KEY_BYTES = 8;

/**
 * Identifies a piece by its content: the first 8 bytes of its SHA-256, one character for each byte. A malicious sender can construct
 * two pieces with the same key, so a rebuilt layer is used only after its digest has been verified.
 */
export type PieceKey = string;

/** Returns the key of a piece. */
export function pieceKeyOf(content: Uint8Array): PieceKey {
  return hash("sha256", content, "buffer").toString("latin1", 0, PIECE_KEY_BYTES);
}
