import { Failure, messageOf } from "../../output/errors.ts";
import { shownPath } from "../paths.ts";

/** @param path as in ContextEntry */
export function hasChanged(path: string, how: string): Failure {
  return new Failure("context-invalid", `${shownPath(path)} ${how} while the build context was read.`, {
    expected: "The files of a build context stay as they are until all of them have been read.",
    hint: "Run it again when nothing writes to it any more, or leave it out by a line in .dockerignore.",
  });
}

export function cannotRead(path: string, error: unknown): Failure {
  return new Failure("context-invalid", `${shownPath(path)} cannot be read: ${messageOf(error)}`, {
    expected: "This user may read all that belongs to the build context.",
    hint: "Give this user the right to read it (chmod), or leave it out by a line in .dockerignore.",
    cause: error,
  });
}
