import { constants, type Stats } from "node:fs";
import { lstat, mkdir, open, readdir, rename, rmdir, stat, unlink, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { isLeftover, isRunId, runState, type RunId } from "./run-id.ts";
import { Failure } from "../output/errors.ts";
import { partialFile, partialFilePrefix, removePartialFile, removePartialFiles } from "./partial-file.ts";

/** ms between two attempts to take a lock that another run holds. */
const RETRY_EVERY = 20;
/** ms to wait for a lock, unless its holder may need longer. */
const TIMEOUT = 30_000;
/** ms between two checks whether a run on another host is alive. */
const CHECK_EVERY = 200;
/** Attempts to take a lock without waiting. Each attempt except the last removes leftovers of a killed run. */
const MAX_TRIES = 10;
/** Bytes that are read of a lock file: more than the length of a run ID. */
const MAX_ID = 100;

export interface LockOptions {
  /** ms to wait for the lock. Default: 30 s, which suits a lock that is held for milliseconds. */
  timeout?: number;
  /** Ends the wait. */
  signal?: AbortSignal;
  /** Called once if another run holds the lock. */
  onWait?: () => void;
}

/**
 * Calls `use` while it holds the lock of `path`, which only one run can hold at a time. Takes over the lock of a killed run. Rejects with a
 * `transfer-failed` Failure after the timeout, and with the signal's reason.
 *
 * The lock is the folder `PATH.lock`. It contains a file whose name is the run ID of the holder. A run takes the lock by renaming its own
 * folder to that name, which succeeds only if no such folder exists, or if it is empty (rename(2)). So two runs never hold the lock, and
 * its holder is always known. Run IDs are unique, so the removal of a dead run's file, however often, never takes the lock from a living
 * run.
 */
export async function withLock<T>(
  path: string,
  runId: RunId,
  use: () => Promise<T>,
  options: LockOptions = {},
): Promise<T> {
  const lock = `${path}.lock`;
  await take(lock, runId, options);
  try {
    return await use();
  } finally {
    await release(lock, runId);
  }
}

async function release(lock: string, runId: RunId): Promise<void> {
  await unlink(join(lock, runId)).catch(() => {});
  await rmdir(lock).catch(() => {}); // another run may hold it by now
}

async function take(lock: string, runId: RunId, { timeout = TIMEOUT, signal, onWait }: LockOptions): Promise<void> {
  const deadline = performance.now() + timeout;
  let isWaiting = false;
  await withPart(lock, runId, async (part) => {
    while (!(await isRenamed(part, lock))) {
      signal?.throwIfAborted();
      if (performance.now() > deadline) throw heldTooLong(lock, timeout);
      if (await removeLeftover(lock)) continue;
      if (!isWaiting) onWait?.();
      isWaiting = true;
      await wait(RETRY_EVERY);
    }
    return true;
  });
}

/** Creates the folder that `rename` renames to the lock, and removes it unless `rename` returns true. */
async function withPart(lock: string, runId: RunId, rename: (part: string) => Promise<boolean>): Promise<boolean> {
  const part = partialFile(lock, runId);
  let isTaken = false;
  await mkdir(part);
  try {
    await setMode(part, (await stat(dirname(lock))).mode);
    await writeFile(join(part, runId), "", { flag: "wx" });
    return (isTaken = await rename(part));
  } finally {
    if (!isTaken) await removePartialFile(part, runId);
  }
}

/** A lock that is held. Disposing releases it. */
export interface HeldLock extends AsyncDisposable {
  /**
   * Shows runs on other hosts that this run is alive. Returns whether it still holds the lock: a run that was suspended for long may have
   * lost it.
   */
  beat(): Promise<boolean>;
}

/**
 * Takes the lock of `path`, as {@link withLock} does, and holds it. Returns undefined if another run holds it. Takes over the lock of a
 * killed run: immediately if the run was on this host. A run on another host, or in another container, cannot be checked, so its lock is
 * taken over after `silence` ms without a {@link HeldLock.beat}.
 */
export async function holdLock(path: string, runId: RunId, silence: number): Promise<HeldLock | undefined> {
  const lock = `${path}.lock`;
  const isTaken = await withPart(lock, runId, async (part) => {
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      if (await isRenamed(part, lock)) return true;
      if (!(await removeLeftover(lock)) && !(await removeSilent(lock, silence))) return false;
    }
    return false;
  });
  if (!isTaken) return undefined;
  await removePartialFiles(dirname(lock), partialFilePrefix(lock));
  return {
    async beat() {
      const now = new Date();
      try {
        await utimes(join(lock, runId), now, now);
        return true;
      } catch (error) {
        // Any other error, of a disk or of a network file system, does not mean that another run holds the lock.
        return !["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "");
      }
    },
    async [Symbol.asyncDispose]() {
      await release(lock, runId);
    },
  };
}

/** Removes the lock of a run on another host that has not beaten for `silence` ms. Returns whether to retry. */
async function removeSilent(lock: string, silence: number): Promise<boolean> {
  const beatsOf = async (): Promise<string[]> => {
    const names = await readdir(lock).catch(() => []);
    return await Promise.all(
      names.map(async (name) => `${name} ${(await stat(join(lock, name)).catch(() => undefined))?.mtimeMs}`),
    );
  };
  const names = await readdir(lock).catch(() => []);
  if (names.some((name) => !isRunId(name) || runState(name) === "alive")) return false;
  const before = (await beatsOf()).join();
  for (const deadline = performance.now() + silence; performance.now() < deadline;) {
    await wait(Math.min(silence, CHECK_EVERY));
    const now = await beatsOf();
    if (now.length === 0) return true; // released
    if (now.join() !== before) return false;
  }
  return (await Promise.all(names.map(async (name) => await succeeds(unlink(join(lock, name)))))).includes(true);
}

/** Lets all users who may write to the folder remove a leftover. Uses a handle, because another user may put a link in its place. */
async function setMode(folder: string, mode: number): Promise<void> {
  if (process.platform === "win32") return; // Windows has no such modes, and cannot open folders
  await using handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  await handle.chmod(mode & 0o777);
}

/** Renames the folder to the lock. Returns false if the lock is taken. */
async function isRenamed(part: string, lock: string): Promise<boolean> {
  try {
    await rename(part, lock);
    return true;
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    // The lock is a folder that is not empty (on Windows, any folder), or another kind of file.
    if (["ENOTEMPTY", "EEXIST", "EPERM", "ENOTDIR"].includes(code)) return false;
    throw error;
  }
}

/** Removes the lock of a killed run. Returns whether to retry at once. */
async function removeLeftover(lock: string): Promise<boolean> {
  const found = await lstat(lock).catch(() => undefined);
  if (found === undefined) return true; // just released
  if (!found.isDirectory()) return (await isLeftoverFile(lock, found)) && (await succeeds(unlink(lock))); // unlink(2) never removes a folder
  const names = await readdir(lock).catch(() => []);
  const leftovers = names.filter((name) => isRunId(name) && isLeftover([name]));
  const removed = await Promise.all(leftovers.map(async (name) => await succeeds(unlink(join(lock, name)))));
  return removed.includes(true) || (await succeeds(rmdir(lock)));
}

async function succeeds(work: Promise<void>): Promise<boolean> {
  return await work.then(
    () => true,
    () => false,
  );
}

/**
 * Returns whether a file in place of the lock is a leftover. Version 0.1 used a file that contains the run ID; any other file is not a
 * lock. Does not block on a pipe.
 */
async function isLeftoverFile(lock: string, found: Stats): Promise<boolean> {
  if (!found.isFile()) return true;
  try {
    await using file = await open(lock, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const { bytesRead, buffer } = await file.read(Buffer.alloc(MAX_ID));
    const runId = buffer.toString("utf8", 0, bytesRead);
    return !isRunId(runId) || isLeftover([runId]);
  } catch {
    return false; // it has been replaced in the meantime
  }
}

/** Returns whether a living run holds the lock of `path`. */
export async function isLocked(path: string): Promise<boolean> {
  const lock = `${path}.lock`;
  const names = await readdir(lock).catch(() => []);
  return names.some((name) => isRunId(name) && !isLeftover([name]));
}

function heldTooLong(lock: string, timeout: number): Failure {
  return new Failure("transfer-failed", `another run has held ${lock} for ${timeout / 1000} s`, {
    expected: "the lock to be released after a few milliseconds",
    hint: "If no other program is writing to this location, remove the lock and run the same command again.",
  });
}
