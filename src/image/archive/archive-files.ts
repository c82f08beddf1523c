import type { Readable } from "node:stream";
import { InvalidImage } from "../invalid-image.ts";
import { quoted } from "../tar/entry-path.ts";

/** Access to an archive's small files by their paths (`normalisedPath`). Follows links. */
export interface ArchiveFiles {
  /** Returns a file's size in bytes; undefined if the file does not exist. */
  sizeOf(path: string): Promise<number | undefined>;
  /** Reads a whole file. Throws {@link FileNotFound}, and `InvalidImage` if it has more than `limit` bytes. */
  read(path: string, limit: number): Promise<Buffer>;
}

/** An archive's files, readable in any order. */
export interface RandomAccessFiles extends ArchiveFiles {
  /** Streams a file. The caller owns the stream. */
  open(path: string): Readable;
  close: () => Promise<void>;
}

/** Thrown when an archive lacks a file. */
export class FileNotFound extends InvalidImage {}

export function fileNotFound(path: string): FileNotFound {
  return new FileNotFound(`the archive has no file ${quoted(path)}`);
}

export function fileTooLarge(path: string, limit: number): InvalidImage {
  return new InvalidImage(`${quoted(path)} in the archive is larger than ${limit} bytes`);
}
