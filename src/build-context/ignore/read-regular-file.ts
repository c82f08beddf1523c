import { lstatSync, readFileSync, type Stats, statSync } from "node:fs";
import { Failure, messageOf } from "../../output/errors.ts";

/**
 * Reads a file that may not be there. Anything but a regular file counts as none: a fifo would never end. Throws a Failure
 * `context-invalid` for a file that this user may not read, because what it leaves out would be sent.
 */
export function readRegularFile(
  path: string | Buffer,
  { follow = false }: { follow?: boolean } = {},
): Buffer | undefined {
  if (!statOrNone(path, follow)?.isFile()) return;
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw new Failure("context-invalid", `${String(path)} cannot be read: ${messageOf(error)}`, {
      expected: "the right to read what tells which files belong to the build context",
      hint: "Give this user the right to read it.",
      cause: error,
    });
  }
}

/** Undefined: nothing is there, or it is in a folder that this user may not search, which is told when the context is read. */
export function statOrNone(path: string | Buffer, follow = false): Stats | undefined {
  try {
    return (follow ? statSync : lstatSync)(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}
