import { MAX_PIECE } from "../../delta/chunker.ts";
import { MAX_MTIME } from "../limits.ts";
import { ByteWriter } from "./byte-writer.ts";
import { KINDS, VERSION, type ListedEntry, type ListedFile } from "./listing.ts";

/** Encodes a listing. Equal entries give equal bytes. */
export function encodeListing(entries: readonly ListedEntry[]): Buffer {
  const to = new ByteWriter();
  to.number(VERSION);
  to.number(entries.length);
  let before = "";
  for (const entry of entries) {
    const common = commonLength(before, entry.path);
    to.number(KINDS.indexOf(entry.kind) + KINDS.length * common);
    putText(to, entry.path.slice(common));
    to.number(entry.mode);
    to.number(zigzag(entry.mtime));
    if (entry.kind === "file") putPieces(to, entry);
    else if (entry.kind !== "folder") putText(to, entry.target);
    before = entry.path;
  }
  return to.take();
}

function putPieces(to: ByteWriter, { size, pieces }: ListedFile): void {
  to.number(size);
  if (size > MAX_PIECE) to.number(pieces.length);
  for (const piece of pieces) {
    if (size > MAX_PIECE) to.number(piece.size);
    to.text(piece.digest);
  }
}

function putText(to: ByteWriter, text: string): void {
  to.number(text.length);
  to.text(text);
}

function zigzag(mtime: number): number {
  const value = Math.max(-MAX_MTIME, Math.min(MAX_MTIME, Math.trunc(mtime)));
  return value < 0 ? -2 * value - 1 : 2 * value;
}

function commonLength(one: string, other: string): number {
  const limit = Math.min(one.length, other.length);
  let at = 0;
  while (at < limit && one[at] === other[at]) at += 1;
  return at;
}
