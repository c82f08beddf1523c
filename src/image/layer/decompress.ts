import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { CHUNK, coalesce } from "../../streams/coalesce.ts";
import type { Compression } from "./compression.ts";
import { decompressZstd, hasZstd } from "./zstd-frames.ts";

/** Matches zlib's errors for invalid data. Other errors, such as out of memory, are not caused by the image. */
const DATA_ERRORS = /^(?:Z_DATA_ERROR|Z_BUF_ERROR|Z_NEED_DICT|ZSTD_error_.*)$/;

/**
 * Decompresses gzip (RFC 1952) and zstd (RFC 8878); passes uncompressed bytes through. Leaves `compressed` to its owner. Throws the result
 * of `unsupported` for other compressions, and for zstd if this Node lacks it. The stream fails with zlib's errors.
 */
export function decompress(
  compression: Compression,
  compressed: AsyncIterable<Buffer>,
  unsupported: () => Error,
): AsyncIterable<Buffer> {
  if (compression === "none") return compressed;
  if (compression === "gzip") return decompressGzip(compressed);
  if (compression === "zstd" && hasZstd) return decompressZstd(compressed);
  throw unsupported();
}

/** Decompresses any number of consecutive gzip members. */
async function* decompressGzip(compressed: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const decoder = createGunzip({ chunkSize: CHUNK });
  const fed = pipeline(coalesce(compressed), decoder);
  fed.catch(() => {}); // awaited below, unless the reader leaves earlier
  yield* decoder as AsyncIterable<Buffer>;
  await fed;
}

/** Returns whether invalid data caused a decompressor's error. */
export function isDataError(error: unknown): error is Error {
  return DATA_ERRORS.test((error as NodeJS.ErrnoException).code ?? "");
}
