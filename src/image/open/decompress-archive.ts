import { peek } from "../../streams/peek.ts";
import { InvalidImage } from "../invalid-image.ts";
import { compressionOf, MAGIC_LENGTH, type Compression } from "../layer/compression.ts";
import { decompress, isDataError } from "../layer/decompress.ts";
import { startsTar } from "../tar/starts-tar.ts";

const BLOCK = 512;

/** Thrown for an archive that is compressed as a whole in a format that this Node cannot decompress. */
export class CannotDecompressArchive extends InvalidImage {
  readonly compression: Compression;

  constructor(compression: Compression) {
    super(`the whole file is compressed with ${compression}, which Node ${process.versions.node} cannot decompress`);
    this.compression = compression;
  }
}

/**
 * Yields the tar of an archive that may be compressed as a whole with gzip or zstd, identified by its first bytes. Refuses a file that is
 * not a tar after its first block, without reading more. Leaves `source` to its owner.
 * Throws `InvalidImage`, {@link CannotDecompressArchive}, and `source`'s own errors.
 */
export async function* decompressArchive(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const { start, all } = await peek(source, MAGIC_LENGTH);
  const compression = compressionOf(start);
  try {
    const decompressed = decompress(compression, all, () => new CannotDecompressArchive(compression));
    const { start: block, all: tar } = await peek(decompressed, BLOCK);
    if (!startsTar(block)) throw new InvalidImage("it is not a tar archive, compressed or not");
    yield* tar;
  } catch (error) {
    if (!isDataError(error)) throw error;
    throw new InvalidImage(`the whole file is compressed with ${compression}, and damaged: ${error.message}`, {
      cause: error,
    });
  }
}
