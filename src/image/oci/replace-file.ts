import { constants } from "node:fs";
import { chmod, copyFile, open, rename, rm, stat, writeFile } from "node:fs/promises";
import { InvalidImage } from "../invalid-image.ts";

/** Replaces a file's content atomically: even after a crash, a reader finds either the whole old content or the whole new content. */
export async function replaceFile(path: string, bytes: Uint8Array, runId: string): Promise<void> {
  await viaTemporaryFile(path, runId, async (temporary) => await writeFile(temporary, bytes, { flag: "wx" }));
}

/**
 * Moves a file of `size` bytes to `to`, replaces any existing file, and makes it readable for everyone. Copies it if `to` is on another
 * file system. Throws `InvalidImage` for a file of another size.
 */
export async function moveFile(from: string, to: string, size: number, runId: string): Promise<void> {
  const { size: written } = await stat(from);
  if (written !== size) throw new InvalidImage(`a layer to be stored has ${written} bytes, not ${size}`);
  try {
    await sync(from);
    await chmod(from, 0o644);
    await rename(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EXDEV") throw error;
    await viaTemporaryFile(to, runId, async (temporary) => {
      await copyFile(from, temporary, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
      await rm(from);
    });
  }
}

/** Writes to a new temporary file and renames it. Fails if its path is a link. */
async function viaTemporaryFile(
  path: string,
  runId: string,
  write: (temporary: string) => Promise<void>,
): Promise<void> {
  const temporary = `${path}.${runId}.part`;
  try {
    await write(temporary);
    await sync(temporary);
    await rename(temporary, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") await rm(temporary, { force: true });
    throw error;
  }
}

/** Flushes a file to disk before it gets its name. Otherwise, a power failure could leave the name without the content. */
async function sync(path: string): Promise<void> {
  const file = await open(path, constants.O_RDWR | constants.O_NOFOLLOW);
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
