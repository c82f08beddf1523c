import { hash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { MAX_PIECE } from "../../delta/chunker.ts";
import { ByteWriter } from "./byte-writer.ts";
import { DIGEST_BYTES, type FilledPiece } from "./piece.ts";

/**
 * The format of a piece store:
 *
 *     store   = MAGIC, segments
 *     segment = bytes of the table (4), check of the table (8), table, concatenated contents of its pieces
 *     table   = for each piece: size (4), digest (32)
 *
 * Numbers are big-endian; the check is the beginning of the table's SHA-256. A segment is written in one go after the last one. An
 * incomplete segment of a killed run is truncated.
 */
export const MAGIC = Buffer.from("dosctx 1");
const HEAD = 12;
const CHECK = 8;
const ROW = 4 + DIGEST_BYTES;
/** The maximum size of a table in bytes: a segment has at most a megabyte of pieces, which are rarely smaller than 100 bytes. */
const MAX_TABLE = 16 * 1024 * 1024;
/** Bytes read for a head and its table. Enough for most segments, whose files have 4 kB or more. */
const FIRST_READ = 16 * 1024;

/** A segment of a piece store: its pieces, and the offset of its end. */
export interface Segment {
  pieces: { digest: string; at: number; size: number }[];
  end: number;
}

export async function beginsWithMagic(file: FileHandle): Promise<boolean> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(MAGIC.length), 0, MAGIC.length, 0);
  return bytesRead === MAGIC.length && buffer.equals(MAGIC);
}

/** Returns the bytes that precede the contents of a segment: length, check and table. */
export function encodeSegmentHead(pieces: readonly FilledPiece[]): Buffer {
  const rows = new ByteWriter();
  const size = Buffer.alloc(4);
  for (const { digest, content } of pieces) {
    size.writeUInt32BE(content.length);
    rows.bytes(size);
    rows.text(digest);
  }
  const table = rows.take();
  const length = Buffer.alloc(HEAD - CHECK);
  length.writeUInt32BE(table.length);
  return Buffer.concat([length, checkOf(table), table]);
}

/** Reads the table of the segment at `start`; returns undefined if the segment is incomplete. `size`: bytes of the file. */
export async function readSegment(file: FileHandle, start: number, size: number): Promise<Segment | undefined> {
  const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(FIRST_READ), 0, FIRST_READ, start);
  const length = bytesRead < HEAD ? 0 : buffer.readUInt32BE(0);
  if (length === 0 || length % ROW !== 0 || length > MAX_TABLE || length > size - start - HEAD) return undefined;
  let table = buffer.subarray(HEAD, HEAD + length);
  if (HEAD + length > bytesRead) {
    table = Buffer.alloc(length);
    await file.read(table, 0, length, start + HEAD);
  }
  if (!checkOf(table).equals(buffer.subarray(HEAD - CHECK, HEAD))) return undefined;
  const pieces: Segment["pieces"] = [];
  let at = start + HEAD + length;
  for (let row = 0; row < length; row += ROW) {
    const bytes = table.readUInt32BE(row);
    if (bytes === 0 || bytes > MAX_PIECE) return undefined;
    pieces.push({ digest: table.toString("latin1", row + 4, row + ROW), at, size: bytes });
    at += bytes;
  }
  return at > size ? undefined : { pieces, end: at };
}

function checkOf(table: Uint8Array): Buffer {
  return hash("sha256", table, "buffer").subarray(0, CHECK);
}
