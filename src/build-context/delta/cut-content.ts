import { MAX_PIECE, pieceLength } from "../../delta/chunker.ts";
import { coalesce } from "../../streams/coalesce.ts";
import { changedFile } from "../read-ahead.ts";
import type { ListedFile } from "./listing.ts";
import { pieceDigest, type FilledPiece, type Piece } from "./piece.ts";

/** Cuts the content of a file into pieces. A file of up to `MAX_PIECE` bytes is one piece. */
export async function* cutContent(size: number, chunks: AsyncIterable<Buffer>): AsyncGenerator<FilledPiece> {
  if (size <= MAX_PIECE) {
    for await (const content of coalesce(chunks, size)) yield { digest: pieceDigest(content), content };
    return;
  }
  let pending: Buffer = Buffer.alloc(0);
  for await (const chunk of coalesce(chunks)) {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    let at = 0;
    for (; pending.length - at >= MAX_PIECE; at += pieceLength(pending, at, pending.length)) yield pieceAt(pending, at);
    pending = pending.subarray(at);
  }
  for (let at = 0; at < pending.length; at += pieceLength(pending, at, pending.length)) yield pieceAt(pending, at);
}

/** Cuts a listing, which is in memory, into pieces. */
export function cutListing(listing: Buffer): FilledPiece[] {
  const pieces: FilledPiece[] = [];
  for (let at = 0; at < listing.length; at += pieceLength(listing, at, listing.length))
    pieces.push(pieceAt(listing, at));
  return pieces;
}

/** Returns a piece without its content. */
export function withoutContent({ digest, content }: FilledPiece): Piece {
  return { digest, size: content.length };
}

/** Yields the wanted pieces of a listed file. Throws a `context-invalid` Failure if one of them has changed since it was listed. */
export async function* wantedPieces(
  file: ListedFile,
  chunks: AsyncIterable<Buffer>,
  isWanted: (digest: string) => boolean,
): AsyncGenerator<Buffer> {
  let pending: Buffer = Buffer.alloc(0);
  const pieces = file.pieces[Symbol.iterator]();
  let next = pieces.next();
  for await (const chunk of chunks) {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    while (!next.done && pending.length >= next.value.size) {
      const { digest, size } = next.value;
      const content = pending.subarray(0, size);
      pending = pending.subarray(size);
      next = pieces.next();
      if (!isWanted(digest)) continue;
      if (pieceDigest(content) !== digest) throw changedFile(file.path);
      yield content;
    }
    if (next.done) return;
  }
}

function pieceAt(bytes: Buffer, at: number): FilledPiece {
  const content = bytes.subarray(at, at + pieceLength(bytes, at, bytes.length));
  return { digest: pieceDigest(content), content };
}
