import { lstat, readdir, rmdir, unlink } from "node:fs/promises";
import { join } from "node:path";
import { isOwn } from "./own-folder.ts";

/**
 * Removes a folder of this user that holds files alone, in a folder that nobody else may write to (`ownFolder`). No link is followed:
 * names go, and what is no file stays. Does not fail: what cannot be removed now stays.
 */
export async function removeFolder(path: string): Promise<void> {
  try {
    const found = await lstat(path);
    if (!found.isDirectory() || !isOwn(found)) return;
    for (const name of await readdir(path)) await unlink(join(path, name)).catch(() => {});
    await rmdir(path);
  } catch {
    // It is gone, or there is something in it that is not ours.
  }
}
