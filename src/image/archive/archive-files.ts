import type { Readable } from "node:stream";
import type { Digest } from "../digest.ts";
import { hexOf } from "../digest.ts";
import { InvalidImage } from "../manifest.ts";
import { quoted } from "../tar/entry-path.ts";

/** An archive's files by their paths, links followed. */
export interface ArchiveFiles {
  /** Bytes; undefined when there is no such file. */
  sizeOf(path: string): Promise<number | undefined>;
  /** A small file, whole. Throws `InvalidImage` when it is not there or has more than `limit` bytes. */
  read(path: string, limit: number): Promise<Buffer>;
}

/** The same where files can be read in any order. */
export interface RandomAccessFiles extends ArchiveFiles {
  /** A file's bytes. Whoever opens it owns the stream. */
  open(path: string): Readable;
  close: () => Promise<void>;
}

/** Where an OCI layout keeps a blob (OCI image spec, image-layout.md, "Blobs"). */
export function blobPath(digest: Digest): string {
  return `blobs/sha256/${hexOf(digest)}`;
}

/** A file that an archive should have, and has not. */
export class FileNotFound extends InvalidImage {}

export function fileNotFound(path: string): FileNotFound {
  return new FileNotFound(`the archive has no file ${quoted(path)}`);
}

export function fileTooLarge(path: string, limit: number): InvalidImage {
  return new InvalidImage(`${quoted(path)} in the archive is larger than ${limit} bytes`);
}
