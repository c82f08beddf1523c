import { constants, type Stats } from "node:fs";
import { open } from "node:fs/promises";
import { Failure } from "docker-over-ssh/builds";

/** Bytes. Enough for thousands of tokens */
const MAX_SIZE = 1024 ** 2;
const OTHERS_MAY_WRITE = 0o022;

/**
 * Reads a file in which the operator defines who may do what. Throws a Failure `usage` for an unreadable file, and
 * for a file that another user may write to, because that user could grant any permission.
 *
 * @param option the option that names the file, for messages, e.g. `--token-file`
 */
export async function readOperatorFile(path: string, option: string): Promise<{ text: string; stats: Stats }> {
  try {
    // O_NONBLOCK: opening a pipe does not wait for its writer.
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = await file.stat();
    if (!stats.isFile()) throw refused(path, option, "is no file", "a file");
    if (stats.size > MAX_SIZE) throw refused(path, option, "is too large", "at most 1 MiB");
    refuseForeign(path, option, stats);
    return { text: await file.readFile("utf8"), stats };
  } catch (error) {
    if (error instanceof Failure) throw error;
    const { code = "" } = error as NodeJS.ErrnoException;
    throw refused(path, option, `cannot be read (${code})`, "a file that the user of the service may read", error);
  }
}

function refuseForeign(path: string, option: string, { mode, uid }: Stats): void {
  const me = process.getuid?.();
  if (me === undefined) return; // Windows has no such modes
  if ((mode & OTHERS_MAY_WRITE) !== 0) {
    throw new Failure("usage", `others may write to ${path} (${option})`, {
      expected: "a file that only its owner may write to",
      hint: `chmod go-w ${path}`,
    });
  }
  // root may edit the file of the service's user.
  if (uid !== me && uid !== 0 && me !== 0) {
    throw refused(path, option, "belongs to another user", "a file of root or of the user of the service");
  }
}

function refused(path: string, option: string, what: string, expected: string, cause?: unknown): Failure {
  return new Failure("usage", `${path} (${option}) ${what}`, { expected, cause });
}
