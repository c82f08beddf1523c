import { CACHE_FOLDER } from "../files/cache-folder.ts";
import { isNoSpace } from "../files/no-space.ts";
import { CannotDecompress } from "../image/layer/decompress-layer.ts";
import { SizeLimitExceeded } from "../image/layer/size-limit.ts";
import { InvalidImage } from "../image/invalid-image.ts";
import { Failure, messageOf } from "../output/errors.ts";
import { InvalidPackedStream } from "../packing/unpack.ts";

/** The error codes of Node's zlib for invalid data. */
const BAD_ZLIB = /^(?:Z_|ERR_?_)/;

/** Returns whether an error means that the content of a layer is invalid. */
export function isInvalidContent(error: unknown): boolean {
  return error instanceof InvalidImage || BAD_ZLIB.test(codeOf(error));
}

/** Returns whether an error means that a connection was lost. */
export function isBrokenConnection(error: unknown): boolean {
  return ["ECONNRESET", "ERR_STREAM_PREMATURE_CLOSE"].includes(codeOf(error));
}

function codeOf(error: unknown): string {
  return String((error as NodeJS.ErrnoException).code);
}

/**
 * Returns the Failure for an error of reading, verifying or writing layers. Returns other errors unchanged.
 *
 * @param purpose the purpose of the layers in the spool
 */
export function layerFailure(error: unknown, purpose: "loaded" | "sent"): unknown {
  if (error instanceof Failure) return error;
  if (isBrokenConnection(error)) {
    return new Failure(
      "registry-unavailable",
      `the connection to the sending side's registry broke: ${messageOf(error)}`,
      {
        expected: "the connection to stay open until all layers are received",
        hint: "Nothing was loaded. Run the same command again.",
        cause: error,
      },
    );
  }
  if (isNoSpace(error)) {
    return new Failure("no-space", `there is no space left for the layers to be ${purpose}`, {
      expected: `room for the missing layers in ${CACHE_FOLDER}`,
      hint: "Free some space, or name a folder on a larger disk with XDG_CACHE_HOME.",
      cause: error,
    });
  }
  return refusal(error) ?? invalidLayer(error) ?? error;
}

/** Returns the Failure for a layer that the receiver does not accept or cannot verify; undefined for another error. */
function refusal(error: unknown): Failure | undefined {
  if (error instanceof SizeLimitExceeded) {
    return new Failure("refused", `the receiving side refuses this image: ${error.message}`, {
      expected: "an image whose missing layers, uncompressed, stay below its --max-size",
      hint: "Nothing was loaded. If you trust the image, raise --max-size on the receiving side.",
      cause: error,
    });
  }
  if (error instanceof CannotDecompress) {
    return new Failure("refused", `the receiving side cannot verify the image: ${error.message}`, {
      expected: "uncompressed layers, layers compressed with gzip, or Node 22.15 or later on the receiving side",
      hint: "Nothing was loaded. Install that Node on the receiving side, or build the image with gzip.",
      cause: error,
    });
  }
  return undefined;
}

/** Returns the Failure for invalid content; undefined for another error. */
function invalidLayer(error: unknown): Failure | undefined {
  if (!isInvalidContent(error) && !(error instanceof InvalidPackedStream)) return undefined;
  return new Failure("not-verified", `a layer failed verification: ${messageOf(error)}`, {
    expected: "content with the digest of the layer",
    hint: "Nothing was loaded. Run the same command again; if it happens again, please report it.",
    cause: error,
  });
}
