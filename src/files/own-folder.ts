import { closeSync, constants, fstatSync, lstatSync, mkdirSync, openSync, realpathSync, type Stats } from "node:fs";
import { dirname } from "node:path";

const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = constants;
/** Mode bits that let others write. */
const OTHERS_WRITE = 0o022;
/** In such a folder nobody but its owner, and theirs, may rename or remove what others have put there: /tmp. */
const STICKY = 0o1000;

/** A folder that somebody else may have made, or may change while it is used. The message says why. */
export class UnsafeFolder extends Error {
  override readonly name = "UnsafeFolder";
}

/** Folders that have been opened. They stay open as long as the process lives, so that a path given out never leads elsewhere. */
const opened = new Map<string, { descriptor: number; found: Stats }>();

/**
 * A folder that is this user's, that nobody else may write to, and that is no link: made where there is none, if so wanted. Returns a
 * path to it that leads to this very folder from now on, whoever renames it or puts another in its place (Linux). Elsewhere, where there
 * are no such paths, nobody else may be able to do that. On Windows, which has other rights, nothing is looked at.
 *
 * Throws `UnsafeFolder`, and the file system's errors.
 */
export function openOwnFolder(path: string, { make }: { make: boolean }): string {
  if (make) mkdirSync(path, { recursive: true, mode: 0o700 });
  if (process.platform === "win32") return path;
  const known = opened.get(path);
  const now = lstatSync(path);
  if (known !== undefined && isSame(now, known.found)) {
    refuseUnsafe(path, now);
    return pathOf(path, known.descriptor);
  }
  if (now.isSymbolicLink()) throw new UnsafeFolder(`${path} is a link`);
  const descriptor = openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  try {
    const found = fstatSync(descriptor);
    refuseUnsafe(path, found);
    const stable = pathOf(path, descriptor);
    opened.set(path, { descriptor, found });
    return stable;
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

/** Of this user, and nobody else may read or write it. */
export function isPrivate(found: Stats): boolean {
  return isOwn(found) && (found.mode & 0o077) === 0;
}

export function isOwn({ uid }: Pick<Stats, "uid">): boolean {
  return uid === process.getuid?.();
}

function refuseUnsafe(path: string, found: Stats): void {
  if (!isOwn(found)) throw new UnsafeFolder(`${path} belongs to another user (${found.uid})`);
  if (found.mode & OTHERS_WRITE) {
    throw new UnsafeFolder(`others may write to ${path} (mode ${(found.mode & 0o7777).toString(8)})`);
  }
}

/** What leads to an open folder, without the names on the way (proc_pid_fd(5)). */
function pathOf(path: string, descriptor: number): string {
  const stable = `/proc/self/fd/${descriptor}`;
  try {
    if (isSame(lstatSync(`${stable}/.`), fstatSync(descriptor))) return stable;
  } catch {
    // no such thing here
  }
  refuseUnstable(dirname(realpathSync(path)));
  return path;
}

/** Whether somebody else may rename what is on the way to a folder. Root may always. */
function refuseUnstable(above: string): void {
  const { uid, mode } = lstatSync(above);
  if (uid !== 0 && !isOwn({ uid })) throw new UnsafeFolder(`${above} belongs to another user (${uid})`);
  if (mode & OTHERS_WRITE && !(mode & STICKY)) throw new UnsafeFolder(`others may write to ${above}`);
  if (dirname(above) !== above) refuseUnstable(dirname(above));
}

function isSame(one: Stats, other: Stats): boolean {
  return one.dev === other.dev && one.ino === other.ino;
}
