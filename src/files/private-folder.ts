import { closeSync, constants, fstatSync, lstatSync, mkdirSync, openSync, realpathSync, type Stats } from "node:fs";
import { dirname } from "node:path";

const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = constants;
/** The mode bits that let other users write. */
const OTHERS_WRITE = 0o022;
/** In a sticky folder, such as /tmp, only the owners of the folder and of a file may rename or remove the file. */
const STICKY = 0o1000;

/** Thrown for a folder that another user may have created, or may change while it is in use. The message contains the reason. */
export class UnsafeFolder extends Error {
  override readonly name = "UnsafeFolder";
}

/** The opened folders. They stay open until the process ends, so that a returned path always leads to the same folder. */
const opened = new Map<string, { descriptor: number; found: Stats }>();

/**
 * Opens a folder that belongs to this user, that no other user may write to, and that is not a link. Creates it if `make` is set. On Linux,
 * returns a path in /proc that always leads to this very folder, even after it is renamed or replaced. On other systems, requires that no
 * other user can rename or replace it. Checks nothing on Windows, which has other permissions.
 *
 * Throws {@link UnsafeFolder}, and the file system's errors.
 */
export function openPrivateFolder(path: string, { make }: { make: boolean }): string {
  if (make) mkdirSync(path, { recursive: true, mode: 0o700 });
  if (process.platform === "win32") return path;
  const known = opened.get(path);
  const now = lstatSync(path);
  if (known !== undefined && isSame(now, known.found)) {
    refuseUnsafe(path, now);
    return stablePath(path, known.descriptor);
  }
  if (now.isSymbolicLink()) throw new UnsafeFolder(`${path} is a link`);
  const descriptor = openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  try {
    const found = fstatSync(descriptor);
    refuseUnsafe(path, found);
    const stable = stablePath(path, descriptor);
    opened.set(path, { descriptor, found });
    return stable;
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

/** Returns whether a file belongs to this user, and no other user may read or write it. */
export function isPrivate(found: Stats): boolean {
  return isOwn(found) && (found.mode & 0o077) === 0;
}

/** Returns whether a file belongs to this user. */
export function isOwn({ uid }: Pick<Stats, "uid">): boolean {
  return uid === process.getuid?.();
}

function refuseUnsafe(path: string, found: Stats): void {
  if (!isOwn(found)) throw new UnsafeFolder(`${path} belongs to another user (${found.uid})`);
  if (found.mode & OTHERS_WRITE) {
    throw new UnsafeFolder(`others may write to ${path} (mode ${(found.mode & 0o7777).toString(8)})`);
  }
}

/** Returns a path to an open folder that does not depend on its name (proc_pid_fd(5)). */
function stablePath(path: string, descriptor: number): string {
  const stable = `/proc/self/fd/${descriptor}`;
  try {
    if (isSame(lstatSync(`${stable}/.`), fstatSync(descriptor))) return stable;
  } catch {
    // this system has no /proc
  }
  refuseRenamable(dirname(realpathSync(path)));
  return path;
}

/** Throws {@link UnsafeFolder} if another user may rename a folder on the path. Root is allowed to. */
function refuseRenamable(above: string): void {
  const { uid, mode } = lstatSync(above);
  if (uid !== 0 && !isOwn({ uid })) throw new UnsafeFolder(`${above} belongs to another user (${uid})`);
  if (mode & OTHERS_WRITE && !(mode & STICKY)) throw new UnsafeFolder(`others may write to ${above}`);
  if (dirname(above) !== above) refuseRenamable(dirname(above));
}

function isSame(one: Stats, other: Stats): boolean {
  return one.dev === other.dev && one.ino === other.ino;
}
