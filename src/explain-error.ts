import { EngineError } from "./engine/engine-error.ts";
import { openFileLimitError } from "./files/open-file-limit.ts";
import { InvalidImage } from "./image/invalid-image.ts";
import { errorReport, Failure, messageOf, type ErrorReport } from "./output/errors.ts";
import { RemoteFailure } from "./stdio-tunnel/failures.ts";

/** Turns errors of an engine, of an invalid image and of the limit of open files into failures. Returns other errors unchanged. */
export function explainError(error: unknown): unknown {
  const outOf = openFileLimitError(error);
  if (outOf !== undefined) return tooManyFiles(outOf);
  if (error instanceof EngineError) {
    return new Failure("transfer-failed", `the engine reported an error: ${messageOf(error)}`, {
      expected: "a successful answer; the engine chose the words of the error",
      hint: "Read the engine's log, then run the same command again.",
      cause: error,
    });
  }
  if (!(error instanceof InvalidImage)) return error;
  return new Failure("not-verified", `the image is not valid: ${error.message}`, {
    expected: "content that matches its digests",
    hint: "The image was not tagged. Run the same command again; if that also fails, please report it.",
    cause: error,
  });
}

/** Returns whether the next run may resume the transfer: not for an invalid image, or one that does not fit on this side. */
export function mayResume(error: unknown): boolean {
  const failure = explainError(error);
  return !(failure instanceof Failure && ["not-verified", "refused", "no-space"].includes(failure.code));
}

/** Turns any error into a Failure. An error without another explanation is a bug in this program. */
export function asFailure(error: unknown): Failure {
  const explained = explainError(error);
  if (explained instanceof Failure) return explained;
  return new Failure("internal", `a bug in docker-over-ssh: ${messageOf(error)}`, {
    expected: "no error of this kind",
    hint: "Run the same command again with --verbose, and report its output.",
    cause: error,
  });
}

/** Returns the report of an error, with the side where it occurred. */
export function reportOf(error: unknown): ErrorReport {
  const failure = asFailure(error);
  return errorReport(failure, failure instanceof RemoteFailure ? "remote" : "here");
}

function tooManyFiles(cause: Error): Failure {
  return new Failure("transfer-failed", `no more files can be opened: ${messageOf(cause)}`, {
    expected: "a limit of at least 256 open files, pipes and connections for this process (ulimit -n)",
    hint: "Raise it, for instance with `ulimit -n 1024`, and run the same command again.",
    cause,
  });
}
