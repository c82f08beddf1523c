import { Readable } from "node:stream";
import { peek } from "../../streams/peek.ts";
import { InvalidImage } from "../invalid-image.ts";
import { compressionOf, MAGIC_LENGTH, refuseNonLayerType, type Compression } from "./compression.ts";
import { decompress, isDataError } from "./decompress.ts";
import { hasZstd } from "./zstd-frames.ts";

/**
 * Returns a layer's uncompressed tar. The first bytes identify the compression: gzip, zstd or none. Owns `source`. Buffers nothing, so a
 * zip bomb only costs time, and a size limit ends it (size-limit.ts).
 *
 * The stream fails with {@link InvalidImage} for data that cannot be decompressed, and for a media type that is not a layer's.
 */
export function decompressLayer(source: Readable, mediaType?: string): Readable {
  const tar = Readable.from(decompressed(source, mediaType), { objectMode: false });
  // A generator that waits for a chunk does not notice that its reader has left.
  return tar.once("close", () => source.destroy());
}

async function* decompressed(source: Readable, mediaType: string | undefined): AsyncGenerator<Buffer> {
  try {
    if (mediaType !== undefined) refuseNonLayerType(mediaType);
    const { start, all } = await peek(source, MAGIC_LENGTH);
    const compression = compressionOf(start);
    yield* decompress(compression, all, () => unsupported(compression));
  } catch (error) {
    throw isDataError(error)
      ? new InvalidImage(`it has a layer that cannot be decompressed: ${error.message}`, { cause: error })
      : error;
  } finally {
    source.destroy();
  }
}

function unsupported(compression: Compression): InvalidImage {
  if (compression === "zstd") return new CannotDecompress();
  return new InvalidImage(
    `it has a layer compressed with ${compression}, which Node ${process.versions.node} cannot decompress`,
  );
}

/** Throws {@link CannotDecompress} if the media type names a compression that this Node lacks. */
export function refuseUnsupportedCompression(mediaType: string): void {
  if (mediaType.endsWith("zstd") && !hasZstd) throw new CannotDecompress();
}

/** Thrown for a layer that may be valid, but that this Node cannot decompress. */
export class CannotDecompress extends InvalidImage {
  constructor() {
    const { node } = process.versions;
    super(
      `it has a layer compressed with zstd, which Node ${node} cannot decompress; Node 22.15 can, or save the image with gzip`,
    );
  }
}
