import { Failure, messageOf } from "../../output/errors.ts";
import { shownPath } from "../paths.ts";

/** @param path as in ContextEntry */
export function hasChanged(path: string, how: string): Failure {
  return new Failure("context-invalid", `${shownPath(path)} ${how} while the build context was read`, {
    expected: "files that do not change until all of them have been read",
    hint: "Run the same command again when no program writes to it, or exclude it in .dockerignore.",
  });
}

export function cannotRead(path: string, error: unknown): Failure {
  return new Failure("context-invalid", `${shownPath(path)} cannot be read: ${messageOf(error)}`, {
    expected: "permission to read all files of the build context",
    hint: "Give this user the permission (chmod), or exclude it in .dockerignore.",
    cause: error,
  });
}
