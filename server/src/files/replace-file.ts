import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

/** Creates a file for this user alone, and flushes it to the disk. */
export async function writeFileSynced(path: string, content: string): Promise<void> {
  await using file = await open(path, "w", 0o600);
  await file.writeFile(content);
  await file.sync();
}

/** Replaces a file: a kill at any moment leaves the old or the new file. */
export async function replaceFile(path: string, content: string): Promise<void> {
  const part = `${path}.new`;
  try {
    await writeFileSynced(part, content);
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true }).catch(() => {});
    throw error;
  }
  await sync(dirname(path));
}

/** Flushes the content of a file, or the entries of a folder, to the disk. */
export async function sync(path: string): Promise<void> {
  await using file = await open(path, "r");
  await file.sync();
}
