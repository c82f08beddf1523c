import { InvalidImage } from "../manifest.ts";
import { compressionOf, MAGIC_LENGTH, type Compression } from "../layer/compression.ts";
import { isDataError, decompressGzip } from "../layer/decompress-layer.ts";
import { peek } from "../../streams/peek.ts";
import { hasZstd, decompressZstd } from "../layer/zstd-frames.ts";

const BLOCK = 512;

/** An archive is packed as a whole with what this Node cannot unpack. */
export class CannotDecompressArchive extends InvalidImage {
  readonly compression: Compression;

  constructor(compression: Compression) {
    super(`it is packed with ${compression} as a whole, which Node ${process.versions.node} cannot unpack`);
    this.compression = compression;
  }
}

/**
 * The tar that comes out of an archive that may be packed as a whole, with gzip (RFC 1952) or zstd (RFC 8878), told by its first bytes. What is
 * no tar is refused by its first block, before more of it is read. Leaves `source` to its owner.
 * Throws `InvalidImage`, {@link CannotDecompressArchive}, and `source`'s own errors.
 */
export async function* decompressArchive(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const { start, all } = await peek(source, MAGIC_LENGTH);
  const compression = compressionOf(start);
  try {
    const { start: block, all: tar } = await peek(unpack(compression, all), BLOCK);
    if (!beginsTar(block.subarray(0, BLOCK))) throw new InvalidImage("it is not a tar archive, packed or not");
    yield* tar;
  } catch (error) {
    if (!isDataError(error)) throw error;
    throw new InvalidImage(`it is packed with ${compression} as a whole, and damaged: ${error.message}`, {
      cause: error,
    });
  }
}

function unpack(compression: Compression, packed: AsyncGenerator<Buffer>): AsyncIterable<Buffer> {
  if (compression === "none") return packed;
  if (compression === "gzip") return decompressGzip(packed);
  if (compression === "zstd" && hasZstd) return decompressZstd(packed);
  throw new CannotDecompressArchive(compression);
}

/** By the sum in a header's first field that guards all others (pax(1), "ustar Interchange Format"). */
function beginsTar(block: Buffer): boolean {
  if (block.length < BLOCK) return false;
  const said = Number.parseInt(block.toString("latin1", 148, 156).trim(), 8);
  const sum = block.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0);
  return said === sum;
}
