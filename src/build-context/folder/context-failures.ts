import { Failure, messageOf } from "../../output/errors.ts";
import { shownPath } from "../paths.ts";

/** @param path as in ContextEntry */
export function hasChanged(path: string, how: string): Failure {
  return new Failure("context-invalid", `${shownPath(path)} ${how} while the build context was read`, {
    expected: "files that stay as they are until all of them have been read",
    hint: "Run it again when nothing writes to it any more, or leave it out by a line in .dockerignore.",
  });
}

export function cannotRead(path: string, error: unknown): Failure {
  return new Failure("context-invalid", `${shownPath(path)} cannot be read: ${messageOf(error)}`, {
    expected: "the right to read all that belongs to the build context",
    hint: "Give this user the right (chmod), or leave it out by a line in .dockerignore.",
    cause: error,
  });
}
