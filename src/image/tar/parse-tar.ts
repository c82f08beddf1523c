import { pipeline } from "node:stream/promises";
import { extract, type Extract } from "tar-stream";
import { InvalidImage } from "../invalid-image.ts";

/** tar-stream's parser, being fed. */
export interface TarParsing {
  parser: Extract;
  /** Why the parser's loop really failed: the source's own error and the signal's reason as they are, else `InvalidImage`. */
  causeOf: (error: unknown) => unknown;
  /** Stops parser and source. */
  stop: () => Promise<void>;
}

/** Feeds a parser no faster than it is read. Owns `source`, whose iterator is left when the parser stops. */
export function parseTar(source: AsyncIterable<Buffer>, signal?: AbortSignal): TarParsing {
  const parser = extract();
  let failure: { error: unknown } | undefined;
  // A pipeline gives one error to all of its streams; here one can tell whose it was.
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
      if (failure !== undefined) return goneAway(failure.error);
      return error instanceof InvalidImage ? error : notTar(error);
    },
    async stop() {
      parser.destroy();
      await fed;
    },
  };
}

/** A stream that was destroyed without a reason is no fault of the archive's. */
function goneAway(error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ERR_STREAM_PREMATURE_CLOSE"
    ? new Error("the archive broke off: its source went away", { cause: error })
    : error;
}

/** Bytes that tar-stream cannot read. */
export function notTar(error: unknown): InvalidImage {
  const why = error instanceof Error ? error.message : String(error);
  return new InvalidImage(`it is not a tar archive, or a damaged one: ${why}`, { cause: error });
}
