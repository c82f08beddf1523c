import type { ContextEntry, ContextFile } from "../build-context.ts";
import type { Piece } from "./piece.ts";

/** A file with the pieces that it consists of. An empty file has none. */
export interface ListedFile extends ContextFile {
  pieces: readonly Piece[];
}

/** An entry of a context in a listing. */
export type ListedEntry = ListedFile | Exclude<ContextEntry, ContextFile>;

/**
 * The format of a listing:
 *
 *     listing = VERSION, count of entries, entries in the order of `comparePaths`
 *     entry   = kind + 4 * (bytes that the path has in common with the previous one), length of the rest, rest, mode, mtime, content
 *     content = of a file: size, pieces    of a folder: nothing    of a link: length of the target, target
 *     pieces  = of a file up to MAX_PIECE: its digest, nothing if it is empty    of a larger file: count, count * (size, digest)
 *
 * Numbers are varints; the mtime is zigzag-encoded. An entry depends only on the previous one, so a change stays local: the listings of two
 * runs have most of their pieces in common.
 */
export const VERSION = 1;
export const KINDS = ["file", "folder", "symlink", "hard-link"] as const satisfies readonly ContextEntry["kind"][];

/** Bytes of a listing. A listing of a million entries has about 100 MB. */
export const MAX_LISTING = 128 * 1024 * 1024;

/** Returns the pieces of a listing's files, each once, in the order of the files. Both sides number the pieces in this order. */
export function distinctPieces(entries: Iterable<ListedEntry>): Piece[] {
  const pieces = new Map<string, Piece>();
  for (const entry of entries) {
    if (entry.kind !== "file") continue;
    for (const piece of entry.pieces) if (!pieces.has(piece.digest)) pieces.set(piece.digest, piece);
  }
  return [...pieces.values()];
}
