import type { Stats } from "node:fs";
import { open, realpath, rename, rm, stat } from "node:fs/promises";
import { Failure, messageOf, newRunId, withLock } from "docker-over-ssh/builds";
import type { Scope } from "./client.ts";
import { readOperatorFile } from "./operator-file.ts";
import { formatHash, hashOf, newToken } from "./token.ts";
import { OPTION, parseTokens } from "./token-file.ts";

export interface TokenOrder {
  name: string;
  /** Default: build and read */
  scopes?: readonly Scope[] | undefined;
  /** Patterns of image names. Default: any name */
  images?: readonly string[] | undefined;
}

/**
 * Creates a token, adds its hash to a token file, and returns the token, which is stored nowhere. Creates a missing
 * file with mode 0600. An existing file keeps its mode, its owner and its other tokens. The file is replaced as a
 * whole, because a server may read it at the same time.
 *
 * Rejects with a Failure `usage` for an invalid file, and for a name that is invalid or already used.
 */
export async function addToken(
  path: string,
  { name, scopes = ["build", "read"], images }: TokenOrder,
): Promise<string> {
  const target = await realpath(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return path;
    throw unwritable(path, error);
  });
  const token = newToken();
  const entry = {
    name,
    hash: formatHash(hashOf(token)),
    scopes,
    ...(images !== undefined && images.length > 0 && { images }),
  };
  const runId = newRunId();
  try {
    await withLock(target, runId, async () => {
      const before = (await exists(target)) ? await readOperatorFile(target, OPTION) : undefined;
      const entries =
        before === undefined ? [] : (parseTokens(before.text, path), JSON.parse(before.text) as unknown[]);
      const text = `${JSON.stringify([...entries, entry], undefined, 2)}\n`;
      parseTokens(text, path);
      await replace(target, `${target}.${runId}.part`, text, before?.stats);
    });
  } catch (error) {
    throw error instanceof Failure ? error : unwritable(path, error);
  }
  return token;
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => error.code !== "ENOENT",
  );
}

/** Writes `text` to `part`, and renames that to `path`. */
async function replace(path: string, part: string, text: string, before: Stats | undefined): Promise<void> {
  try {
    await using file = await open(part, "wx", 0o600);
    await file.writeFile(text);
    if (before !== undefined) {
      if (before.uid !== process.getuid?.()) await file.chown(before.uid, before.gid);
      await file.chmod(before.mode & 0o777);
    }
    await file.sync();
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
}

function unwritable(path: string, error: unknown): Failure {
  return new Failure("usage", `${path} (${OPTION}) cannot be written: ${messageOf(error)}`, {
    expected: "a folder in which this user may replace the file",
    cause: error,
  });
}
