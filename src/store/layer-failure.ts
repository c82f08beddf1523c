import { CACHE_FOLDER } from "../files/cache-folder.ts";
import { isNoSpace } from "../files/no-space.ts";
import { CannotDecompress } from "../image/layer/decompress-layer.ts";
import { SizeLimitExceeded } from "../image/layer/size-limit.ts";
import { InvalidImage } from "../image/invalid-image.ts";
import { Failure, messageOf } from "../output/errors.ts";
import { InvalidPackedStream } from "../packing/unpack.ts";

/** Codes of Node's zlib for what is not packed as it says. */
const BAD_ZLIB = /^(?:Z_|ERR_?_)/;

/** The bytes of a layer are not its own. */
export function isInvalidContent(error: unknown): boolean {
  return error instanceof InvalidImage || BAD_ZLIB.test(codeOf(error));
}

/** A connection ended before its time. */
export function isBroken(error: unknown): boolean {
  return ["ECONNRESET", "ERR_STREAM_PREMATURE_CLOSE"].includes(codeOf(error));
}

function codeOf(error: unknown): string {
  return String((error as NodeJS.ErrnoException).code);
}

/** What went wrong while layers were read, proven and written, as a person should be told it. */
export function layerFailure(error: unknown, whose: string): unknown {
  if (error instanceof Failure) return error;
  if (isBroken(error)) {
    return new Failure(
      "registry-unavailable",
      `the connection to the sending side's registry broke: ${messageOf(error)}`,
      {
        expected: "it to stay open until all layers are here",
        hint: "Nothing was loaded. Run the same command again.",
        cause: error,
      },
    );
  }
  if (isNoSpace(error)) {
    return new Failure("no-space", `there is no space left for the layers that wait to be ${whose}`, {
      expected: `room for the missing layers in ${CACHE_FOLDER}`,
      hint: "Free some, or name a folder on a larger disk with XDG_CACHE_HOME.",
      cause: error,
    });
  }
  if (error instanceof SizeLimitExceeded) {
    return new Failure("refused", `the receiving side does not take this image: ${error.message}`, {
      expected: "an image whose missing layers, unpacked, stay below its --max-size",
      hint: "Nothing was loaded. Allow more there, if the image is right.",
      cause: error,
    });
  }
  if (error instanceof CannotDecompress) {
    return new Failure("refused", `the image cannot be proven here: ${error.message}`, {
      expected: "layers packed with gzip, or not at all, or Node 22.15 or later on the receiving side",
      hint: "Nothing was loaded. Install that Node there, or build the image with gzip.",
      cause: error,
    });
  }
  if (!isInvalidContent(error) && !(error instanceof InvalidPackedStream)) return error;
  return new Failure("not-verified", `a layer is not what it should be: ${messageOf(error)}`, {
    expected: "bytes that have the digest of their layer",
    hint: "Nothing was loaded. Run the same command again; if it happens again, please report it.",
    cause: error,
  });
}
