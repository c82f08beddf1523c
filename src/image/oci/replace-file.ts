import { constants } from "node:fs";
import { chmod, copyFile, open, rename, rm, stat, writeFile } from "node:fs/promises";
import { InvalidImage } from "../invalid-image.ts";

/** Gives a file a new content, at once: whoever reads it meanwhile, or after a crash, finds the old one or the new one, whole. */
export async function replaceFile(path: string, bytes: Uint8Array, run: string): Promise<void> {
  await viaPart(path, run, async (part) => await writeFile(part, bytes, { flag: "wx" }));
}

/**
 * Moves a file of `size` bytes to where everyone may read it, in the place of what is there; by a copy where that is on another file system.
 * Throws `InvalidImage` for one of another size.
 */
export async function moveFile(from: string, to: string, size: number, run: string): Promise<void> {
  const { size: written } = await stat(from);
  if (written !== size) throw new InvalidImage(`a layer to be stored has ${written} bytes, not ${size}`);
  try {
    await sync(from);
    await chmod(from, 0o644);
    await rename(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EXDEV") throw error;
    await viaPart(to, run, async (part) => {
      await copyFile(from, part, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
      await rm(from);
    });
  }
}

/** A part is always made anew: a link that somebody has put in its place is not followed, and is an error. */
async function viaPart(path: string, run: string, write: (part: string) => Promise<void>): Promise<void> {
  const part = `${path}.${run}.part`;
  try {
    await write(part);
    await sync(part);
    await rename(part, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") await rm(part, { force: true });
    throw error;
  }
}

/** Onto the disk before it gets its name: else a power failure could leave the name without the content. */
async function sync(path: string): Promise<void> {
  const file = await open(path, constants.O_RDWR | constants.O_NOFOLLOW);
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
