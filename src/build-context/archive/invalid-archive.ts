import { bytes } from "../../output/describe.ts";
import { Failure } from "../../output/errors.ts";
import type { ContextLimits } from "../limits.ts";
import { MAX_RATIO } from "./limits.ts";

const FORMATS = "a tar, which may be compressed with gzip, zstd, xz or bzip2, or a zip";

/** Returns the failure for a damaged archive, or for a file of another kind. */
export function invalidArchive(message: string, cause?: unknown): Failure {
  return new Failure("context-invalid", message, {
    expected: `the whole archive of a source tree: ${FORMATS}`,
    hint: "For instance the output of git archive HEAD, or of tar -cz . in the folder that has the Dockerfile.",
    cause,
  });
}

/** Returns the failure for an archive that unpacks to more bytes than the limit. */
export function tooLarge({ bytes: limit, howToRaise }: Pick<ContextLimits, "bytes" | "howToRaise">): Failure {
  return new Failure("context-invalid", `the archive unpacks to more than ${bytes(limit)}`, {
    expected: `at most ${bytes(limit)}`,
    hint: `Exclude files that the build does not need${howToRaise === undefined ? "" : `, or ${howToRaise}`}.`,
  });
}

/** Returns the failure for an archive that unpacks to more times its size than any source tree does. */
export function tooDense(): Failure {
  return new Failure("context-invalid", `the archive unpacks to more than ${MAX_RATIO} times its size`, {
    expected: "an archive of source code",
    hint: "Send it uncompressed if its files really compress so well.",
  });
}
