import { compressionOf, MAGIC_LENGTH, type Compression } from "../../image/layer/compression.ts";

/** A tar, compressed or not, or a zip. */
export type ArchiveFormat = Compression | "zip";

/** The first bytes that {@link formatOf} needs. */
export const FORMAT_LENGTH = MAGIC_LENGTH;

/** Local file header; end of an empty zip; mark of a spanned one (APPNOTE.TXT 4.3.7, 4.3.16, 8.5.3) */
const ZIP = new Set(["PK\u0003\u0004", "PK\u0005\u0006", "PK\u0007\u0008"]);

/** Tells the format by the first bytes, whatever the name of the file was. */
export function formatOf(start: Buffer): ArchiveFormat {
  return ZIP.has(start.toString("latin1", 0, 4)) ? "zip" : compressionOf(start);
}
