import { bytes } from "../../output/describe.ts";
import { Failure } from "../../output/errors.ts";
import { MAX_RATIO } from "./limits.ts";

const FORMATS = "a tar, which may be compressed with gzip, zstd, xz or bzip2, or a zip";

/** A failure of an archive that is damaged, or none. */
export function invalidArchive(message: string, cause?: unknown): Failure {
  return new Failure("context-invalid", message, {
    expected: `the whole archive of a source tree: ${FORMATS}`,
    hint: "For instance git archive HEAD | ssh HOST …, or tar -cz . | ssh HOST …",
    cause,
  });
}

/** A failure of an archive that unpacks to more than `limit` bytes. */
export function tooLarge(limit: number): Failure {
  return new Failure("context-invalid", `the archive unpacks to more than ${bytes(limit)}`, {
    expected: `at most ${bytes(limit)}`,
    hint: "Leave out what the build does not need, or raise the limit with --max-size on the machine that builds.",
  });
}

/** A failure of an archive that unpacks to a multiple of its size which no source tree reaches. */
export function tooDense(): Failure {
  return new Failure("context-invalid", `the archive unpacks to more than ${MAX_RATIO} times its size`, {
    expected: "an archive of source code",
    hint: "Send it uncompressed if it really has so many bytes that are alike.",
  });
}
