import { lstatSync, readFileSync, type Stats, statSync } from "node:fs";
import { Failure, messageOf } from "../../output/errors.ts";

/**
 * Reads a file. Returns undefined if it does not exist or is not a regular file: a fifo would never end. Throws a Failure `context-invalid`
 * for a file that this user may not read: without its rules, excluded files would be sent.
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
      expected: "permission to read the file that selects the files of the build context",
      hint: "Give this user the permission to read it.",
      cause: error,
    });
  }
}

/**
 * Returns undefined if the path does not exist, or if it is in a folder that this user may not search. Reading the context reports the
 * latter.
 */
export function statOrNone(path: string | Buffer, follow = false): Stats | undefined {
  try {
    return (follow ? statSync : lstatSync)(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}
