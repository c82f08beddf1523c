import { constants, type Stats } from "node:fs";
import { lstat, mkdir, open, readdir, rename, rmdir, stat, unlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { isLeftover, isRunId, type RunId } from "../run/run-id.ts";
import { Failure } from "../output/errors.ts";
import { partialFile, removePartialFile } from "./partial-file.ts";

/** ms between two looks at a lock that another run holds. */
const LOOK_EVERY = 20;
/** ms for it to be let go: what is done under a lock takes milliseconds. */
const PATIENCE = 30_000;
/** Bytes that are read of a lock file: more than a run's id has. */
const MAX_ID = 100;

/**
 * Does something that no other run does to `path` at the same time. The lock of a run that was killed is taken over.
 *
 * The lock is the folder `PATH.lock` with a file in it that is called by the run that holds it. It is taken by renaming a folder to it, which
 * the file system does only where there is none, or an empty one (rename(2)): so two runs never have it, and none has it without its name.
 * A dead run's name is unlike any other, so to remove that file, as often as one likes, never takes the lock from a run that lives.
 */
export async function withLock<T>(path: string, run: RunId, use: () => Promise<T>): Promise<T> {
  const lock = `${path}.lock`;
  await take(lock, run);
  try {
    return await use();
  } finally {
    await unlink(join(lock, run)).catch(() => {});
    await rmdir(lock).catch(() => {}); // the next run has it
  }
}

async function take(lock: string, run: RunId): Promise<void> {
  const part = partialFile(lock, run);
  const until = performance.now() + PATIENCE;
  await mkdir(part);
  try {
    await openTo(part, (await stat(dirname(lock))).mode);
    await writeFile(join(part, run), "", { flag: "wx" });
    while (!(await isRenamed(part, lock))) {
      if (performance.now() > until) throw held(lock);
      if (!(await removeLeft(lock))) await wait(LOOK_EVERY);
    }
  } catch (error) {
    await removePartialFile(part, run);
    throw error;
  }
}

/** Who may write to the folder of an image may take over what is left in it. By its handle: somebody else may put a link in its place. */
async function openTo(folder: string, mode: number): Promise<void> {
  if (process.platform === "win32") return; // has no such modes, and opens no folders
  await using handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  await handle.chmod(mode & 0o777);
}

/** False when there is something in its place. */
async function isRenamed(part: string, lock: string): Promise<boolean> {
  try {
    await rename(part, lock);
    return true;
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    // A folder with something in it, or, on Windows, any; something that is no folder.
    if (["ENOTEMPTY", "EEXIST", "EPERM", "ENOTDIR"].includes(code)) return false;
    throw error;
  }
}

/** Removes what a killed run has left of its lock; whether it is worth another try at once. */
async function removeLeft(lock: string): Promise<boolean> {
  const found = await lstat(lock).catch(() => undefined);
  if (found === undefined) return true; // let go in this moment
  if (!found.isDirectory()) return (await isLeftFile(lock, found)) && (await isDone(unlink(lock))); // never a folder (unlink(2))
  const names = await readdir(lock).catch(() => []);
  const left = names.filter((name) => isRunId(name) && isLeftover([name]));
  const removed = await Promise.all(left.map(async (name) => await isDone(unlink(join(lock, name)))));
  return removed.includes(true) || (await isDone(rmdir(lock)));
}

async function isDone(doing: Promise<void>): Promise<boolean> {
  return await doing.then(
    () => true,
    () => false,
  );
}

/** What is no folder: the lock file of version 0.1, which names its run, or something that is nobody's lock. A FIFO is not waited for. */
async function isLeftFile(lock: string, found: Stats): Promise<boolean> {
  if (!found.isFile()) return true;
  try {
    await using file = await open(lock, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const { bytesRead, buffer } = await file.read(Buffer.alloc(MAX_ID));
    const run = buffer.toString("utf8", 0, bytesRead);
    return !isRunId(run) || isLeftover([run]);
  } catch {
    return false; // it is another by now
  }
}

function held(lock: string): Failure {
  return new Failure("transfer-failed", `another run has held ${lock} for ${PATIENCE / 1000} s`, {
    expected: "it to be let go after some milliseconds",
    hint: "If nothing writes there any more, remove it and run the same command again.",
  });
}
