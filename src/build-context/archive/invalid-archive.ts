import { bytes } from "../../output/describe.ts";
import { Failure } from "../../output/errors.ts";
import { MAX_RATIO } from "./limits.ts";

const FORMATS = "a tar, which may be compressed with gzip, zstd, xz or bzip2, or a zip";

/** Returns the failure for a damaged archive, or for a file of another kind. */
export function invalidArchive(message: string, cause?: unknown): Failure {
  return new Failure("context-invalid", message, {
    expected: `the whole archive of a source tree: ${FORMATS}`,
    hint: "For instance git archive HEAD | ssh HOST …, or tar -cz . | ssh HOST …",
    cause,
  });
}

/** Returns the failure for an archive that unpacks to more than `limit` bytes. */
export function tooLarge(limit: number): Failure {
  return new Failure("context-invalid", `the archive unpacks to more than ${bytes(limit)}`, {
    expected: `at most ${bytes(limit)}`,
    hint: "Leave out files that the build does not need, or raise the limit with --max-size on the machine that builds.",
  });
}

/** Returns the failure for an archive that unpacks to more times its size than any source tree does. */
export function tooDense(): Failure {
  return new Failure("context-invalid", `the archive unpacks to more than ${MAX_RATIO} times its size`, {
    expected: "an archive of source code",
    hint: "Send it uncompressed if its files really compress so well.",
  });
}
