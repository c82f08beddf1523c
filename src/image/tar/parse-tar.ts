import { pipeline } from "node:stream/promises";
import { extract, type Extract } from "tar-stream";
import { InvalidImage } from "../invalid-image.ts";

/** A tar-stream parser that reads from a source. */
export interface TarParsing {
  parser: Extract;
  /** Returns the true cause of an error in the parser's loop: the source's own error or the signal's reason, else `InvalidImage`. */
  causeOf: (error: unknown) => unknown;
  /** Stops parser and source. */
  stop: () => Promise<void>;
}

/**
 * Starts a parser, which reads the source no faster than its entries are read. Owns `source`, whose iterator ends when the parser stops.
 */
export function parseTar(source: AsyncIterable<Buffer>, signal?: AbortSignal): TarParsing {
  const parser = extract();
  let failure: { error: unknown } | undefined;
  // A pipeline passes one error to all of its streams; this generator records whether it came from the source.
  async function* watched(): AsyncGenerator<Buffer> {
    try {
      yield* source;
    } catch (error) {
      failure = { error };
      throw error;
    }
  }
  const fed = pipeline(watched(), parser, signal === undefined ? {} : { signal }).catch(() => {});
  return {
    parser,
    causeOf(error) {
      if (signal?.aborted === true) return signal.reason;
      if (failure !== undefined) return sourceError(failure.error);
      return error instanceof InvalidImage ? error : notTar(error);
    },
    async stop() {
      parser.destroy();
      await fed;
    },
  };
}

/** Replaces the error of a stream that was destroyed without a reason: the archive may be valid. */
function sourceError(error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ERR_STREAM_PREMATURE_CLOSE"
    ? new Error("the archive ended early: its source was closed", { cause: error })
    : error;
}

/** Returns the error for bytes that tar-stream cannot parse. */
export function notTar(error: unknown): InvalidImage {
  const why = error instanceof Error ? error.message : String(error);
  return new InvalidImage(`it is not a tar archive, or a damaged one: ${why}`, { cause: error });
}
