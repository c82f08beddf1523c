import { hash } from "node:crypto";

/** Bytes of a digest. */
export const DIGEST_BYTES = 32;

/** A range of a file's content, or of a listing. Files up to `MAX_PIECE` (delta/chunker.ts) are one piece. */
export interface Piece {
  /** The SHA-256, one character for each byte (latin1). Not shortened: it is the only check of a piece's content. */
  digest: string;
  /** Bytes, 1 to `MAX_PIECE` */
  size: number;
}

/** A piece with its content. */
export interface FilledPiece {
  digest: string;
  content: Uint8Array;
}

/** Returns the digest of a piece's content. */
export function pieceDigest(content: Uint8Array): string {
  return hash("sha256", content, "binary"); // another name of latin1
}
