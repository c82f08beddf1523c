import { lstat, readdir, rmdir, unlink } from "node:fs/promises";
import { join } from "node:path";
import { isOwn } from "./private-folder.ts";

/**
 * Removes a folder of this user that contains only files and is in a folder that no other user may write to (`openPrivateFolder`). Follows
 * no links: unlinks names, and leaves subfolders. Never fails: a folder that cannot be removed stays.
 */
export async function removeFolder(path: string): Promise<void> {
  try {
    const found = await lstat(path);
    if (!found.isDirectory() || !isOwn(found)) return;
    for (const name of await readdir(path)) await unlink(join(path, name)).catch(() => {});
    await rmdir(path);
  } catch {
    // The folder no longer exists, or another program has put something into it.
  }
}
