import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { InvalidImage } from "../manifest.ts";
import { compressionOf, MAGIC_LENGTH, refuseNonLayerType, type Compression } from "./compression.ts";
import { CHUNK, coalesce } from "../../streams/coalesce.ts";
import { peek } from "../../streams/peek.ts";
import { hasZstd, decompressZstd } from "./zstd-frames.ts";

/** zlib errors that speak of the data; others (out of memory) are not the image's fault. */
const DATA_ERRORS = /^(?:Z_DATA_ERROR|Z_BUF_ERROR|Z_NEED_DICT|ZSTD_error_.*)$/;

/**
 * The plain tar of a layer that is packed with gzip (RFC 1952), zstd (RFC 8878) or not at all, told by its first bytes.
 * Owns `source`. Nothing is kept: a zip bomb costs time only, and a limit (prove.ts) ends it.
 *
 * The stream fails with {@link InvalidImage} for what cannot be unpacked, and for a media type that is not a layer's.
 */
export function decompressLayer(source: Readable, mediaType?: string): Readable {
  const plain = Readable.from(decoded(source, mediaType), { objectMode: false });
  // A generator that waits for a chunk does not hear that it has been left.
  return plain.once("close", () => source.destroy());
}

async function* decoded(source: Readable, mediaType: string | undefined): AsyncGenerator<Buffer> {
  try {
    if (mediaType !== undefined) refuseNonLayerType(mediaType);
    const { start, all } = await peek(source, MAGIC_LENGTH);
    yield* unpack(compressionOf(start), all);
  } catch (error) {
    throw isDataError(error)
      ? new InvalidImage(`it has a layer that cannot be unpacked: ${error.message}`, { cause: error })
      : error;
  } finally {
    source.destroy();
  }
}

function unpack(compression: Compression, packed: AsyncGenerator<Buffer>): AsyncIterable<Buffer> {
  if (compression === "none") return packed;
  if (compression === "gzip") return decompressGzip(packed);
  if (compression === "zstd" && hasZstd) return decompressZstd(packed);
  if (compression === "zstd") throw new CannotDecompress();
  throw new InvalidImage(
    `it has a layer packed with ${compression}, which Node ${process.versions.node} cannot unpack`,
  );
}

/** Throws {@link CannotDecompress} where a media type tells it before anything has come. */
export function refuseUnsupportedCompression(mediaType: string): void {
  if (mediaType.endsWith("zstd") && !hasZstd) throw new CannotDecompress();
}

/** A layer may be right, but nobody here can look into it. */
export class CannotDecompress extends InvalidImage {
  constructor() {
    const { node } = process.versions;
    super(
      `it has a layer packed with zstd, which Node ${node} cannot unpack; Node 22.15 can, or save the image with gzip`,
    );
  }
}

/** However many members it has, one after the other. */
export async function* decompressGzip(packed: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const decoder = createGunzip({ chunkSize: CHUNK });
  const fed = pipeline(coalesce(packed), decoder);
  // Heard of below, unless the reader has left before.
  fed.catch(() => {});
  yield* decoder as AsyncIterable<Buffer>;
  await fed;
}

/** Does an error of a decoder speak of the data, and not of this process? */
export function isDataError(error: unknown): error is Error {
  return DATA_ERRORS.test((error as NodeJS.ErrnoException).code ?? "");
}
