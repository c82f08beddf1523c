import { createWriteStream } from "node:fs";
import { stat } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { BLOCK, isHeader, isZeros } from "../../delta/tar-block.ts";
import { isNoSpace } from "../../files/no-space.ts";
import { decompress, isDataError } from "../../image/layer/decompress.ts";
import { hasZstd } from "../../image/layer/zstd-frames.ts";
import { Failure, messageOf } from "../../output/errors.ts";
import { CACHE_FOLDER } from "../../files/cache-folder.ts";
import type { Spool } from "../../run/spool.ts";
import { countBytes } from "../../streams/count-bytes.ts";
import { peek } from "../../streams/peek.ts";
import type { ContextLimits } from "../limits.ts";
import { FORMAT_LENGTH, formatOf, type ArchiveFormat } from "./archive-format.ts";
import { invalidArchive, tooDense, tooLarge } from "./invalid-archive.ts";
import { MAX_RATIO, RATIO_FREE } from "./limits.ts";
import { unpackByProgram } from "./unpack-by-program.ts";
import { zipToTar } from "./zip-to-tar.ts";

/**
 * Writes the archive that `source` streams to a file of the spool as an uncompressed tar, and returns the path. The first bytes identify
 * the format. Memory does not grow with the archive. Leaves `source` to its owner.
 *
 * @param onBytes called with the number of bytes that have arrived, whenever more do
 * @throws Failure `context-invalid` for input that is not an archive, is damaged, or exceeds the limits; `no-space`
 */
export async function unpackArchive(
  source: AsyncIterable<Buffer>,
  spool: Spool,
  limits: ContextLimits,
  { signal, onBytes = () => {} }: { signal: AbortSignal; onBytes?: ((count: number) => void) | undefined },
): Promise<string> {
  let packed = 0;
  const arriving = countBytes(source, (count) => onBytes((packed += count)));
  const { start, all } = await peek(arriving, FORMAT_LENGTH);
  if (start.length === 0) throw invalidArchive("there is no archive on stdin: it is empty");
  const format = formatOf(start);
  const path = spool.pathFor("context.tar");
  if (format !== "zip") {
    const tar = limited(tarOf(format, all), limits, () => packed);
    await write(withDamageReport(format, tar), path, signal);
    return path;
  }
  const zip = spool.pathFor("context.zip");
  await write(limited(all, limits), zip, signal);
  const { size } = await stat(zip);
  await write(
    limited(zipToTar(zip, limits), limits, () => size),
    path,
    signal,
  );
  return path;
}

/** Unpacks the tar. Refuses input that is not a tar by its first block. */
async function* tarOf(format: Exclude<ArchiveFormat, "zip">, all: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const byProgram = format === "xz" || format === "bzip2" || (format === "zstd" && !hasZstd);
  const unpacked = byProgram
    ? unpackByProgram(format, all)
    : decompress(format, all, () => new TypeError(`${format} is unpacked by a program`));
  const { start, all: tar } = await peek(unpacked, BLOCK);
  // A tar without entries begins with a block of zeros.
  const isTar = start.length >= BLOCK && (isHeader(start, 0) || isZeros(start, 0, BLOCK));
  if (!isTar) {
    // Thrown before the rest is read, whose error would be less clear.
    throw invalidArchive(
      format === "none"
        ? "the input on stdin is not an archive"
        : `the input on stdin is compressed with ${format}, and contains no tar`,
    );
  }
  yield* tar;
}

/** Passes bytes on as long as they are within the limits. `packed` returns the bytes of the archive that have been read. */
async function* limited(
  bytes: AsyncIterable<Buffer>,
  limits: ContextLimits,
  packed: () => number = () => Infinity,
): AsyncGenerator<Buffer> {
  let count = 0;
  for await (const chunk of bytes) {
    count += chunk.length;
    if (count > limits.bytes) throw tooLarge(limits);
    if (count > RATIO_FREE + packed() * MAX_RATIO) throw tooDense();
    yield chunk;
  }
}

async function* withDamageReport(format: ArchiveFormat, tar: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield* tar;
  } catch (error) {
    if (!isDataError(error)) throw error;
    throw invalidArchive(`the archive is cut off or damaged: ${format}: ${messageOf(error)}`, error);
  }
}

async function write(chunks: AsyncIterable<Buffer>, path: string, signal: AbortSignal): Promise<void> {
  try {
    await pipeline(chunks, createWriteStream(path, { flags: "wx", mode: 0o600 }), { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw isNoSpace(error) ? noSpace(error) : error;
  }
}

function noSpace(cause: unknown): Failure {
  return new Failure("no-space", "the cache folder's disk has no room for the unpacked archive", {
    expected: `room for it in ${CACHE_FOLDER}`,
    hint: "Free some space there, or name a folder on a larger disk with XDG_CACHE_HOME.",
    cause,
  });
}
