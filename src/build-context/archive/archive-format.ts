import { compressionOf, MAGIC_LENGTH, type Compression } from "../../image/layer/compression.ts";

/** The format of an archive: a tar, compressed or not, or a zip. */
export type ArchiveFormat = Compression | "zip";

/** The number of bytes that {@link formatOf} needs. */
export const FORMAT_LENGTH = MAGIC_LENGTH;

/** The signatures of a local file header, of the end of an empty zip and of a spanned zip (APPNOTE.TXT 4.3.7, 4.3.16, 8.5.3) */
const ZIP = new Set(["PK\u0003\u0004", "PK\u0005\u0006", "PK\u0007\u0008"]);

/** Identifies the format by the first bytes. The file's name does not matter. */
export function formatOf(start: Buffer): ArchiveFormat {
  return ZIP.has(start.toString("latin1", 0, 4)) ? "zip" : compressionOf(start);
}
