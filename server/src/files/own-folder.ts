import { chmod, mkdir, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { Failure, holdLock, newRunId, type HeldLock } from "docker-over-ssh/builds";
import { replaceFile } from "./replace-file.ts";

/** With these permissions, other users may have put files, or links to files of this user, into the folder. */
const OTHERS_MAY_WRITE = 0o022;
/**
 * ms between two heartbeats for processes on other hosts, and the silence after which a process on another host counts
 * as dead.
 */
const HEARTBEAT_EVERY = 2_000;
const HEARTBEAT_TIMEOUT = 12_000;

/** The purpose of a folder. */
export interface FolderUse {
  /** The program that uses it, for messages and for the name of the lock: `server`, `guard` */
  user: string;
  /** Version of the folder's layout */
  version: string;
  /** Names that a folder without a version may contain: a process that was killed at its first start left them */
  names: ReadonlySet<string>;
  /** Hint for an error when another process uses the folder */
  inUseHint: string;
  /**
   * Creates missing entries, and removes leftovers. Called while this process holds the lock, before the version is
   * written.
   */
  prepare: (path: string) => Promise<void>;
}

/** A folder that only this process uses. Disposing releases it. */
export interface OwnFolder extends AsyncDisposable {
  readonly path: string;
  /** Aborted when another process has taken over the folder, because this process was stopped for a long time. */
  readonly lost: AbortSignal;
}

/**
 * Claims a folder for this process, and creates it if necessary. Rejects with a `refused` Failure if the folder is in
 * use, belongs to another user or another program, or can be written by others, and with the file system's errors.
 */
export async function openOwnFolder(path: string, use: FolderUse): Promise<OwnFolder> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  await refuseOthers(path, use);
  const lock = await holdLock(join(path, use.user), newRunId(), HEARTBEAT_TIMEOUT);
  if (lock === undefined) throw inUse(path, use);
  try {
    const version = await readVersion(path);
    if (version !== undefined && version !== use.version) throw otherVersion(path, version, use);
    await use.prepare(path);
    if (version === undefined) await replaceFile(join(path, "version"), `${use.version}\n`);
  } catch (error) {
    await lock[Symbol.asyncDispose]();
    throw error;
  }
  return held(path, lock);
}

function held(path: string, lock: HeldLock): OwnFolder {
  const lost = new AbortController();
  const beat = setInterval(() => {
    void lock.beat().then((isHeld) => isHeld || lost.abort());
  }, HEARTBEAT_EVERY).unref();
  return {
    path,
    lost: lost.signal,
    async [Symbol.asyncDispose]() {
      clearInterval(beat);
      await lock[Symbol.asyncDispose]();
    },
  };
}

async function readVersion(path: string): Promise<string | undefined> {
  try {
    return (await readFile(join(path, "version"), "utf8")).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/**
 * Rejects a folder of another user or another program before anything in it is changed. Otherwise closes the folder to
 * other users.
 */
async function refuseOthers(path: string, { user, names: own }: FolderUse): Promise<void> {
  const { uid, mode } = await stat(path);
  if (process.getuid !== undefined && uid !== process.getuid()) {
    throw new Failure("refused", `${path} belongs to another user (${uid})`, {
      expected: `a folder of the user that runs the ${user}`,
      hint: `sudo chown -R ${process.getuid()} ${path}`,
    });
  }
  const names = await readdir(path);
  // lost+found is in the root of a file system.
  const isOwn = (name: string): boolean =>
    own.has(name) || name === "version.new" || name === "lost+found" || name.startsWith(`${user}.lock`);
  const others = names.filter((name) => !isOwn(name));
  if (!names.includes("version") && others.length > 0) {
    throw new Failure("refused", `${path} has other files: ${others.slice(0, 3).join(", ")}`, {
      expected: "an empty folder, or the one of an earlier start",
      hint: "Name another folder: --data",
    });
  }
  if (mode & OTHERS_MAY_WRITE && names.some((name) => name !== "lost+found")) {
    throw new Failure("refused", `others may write to ${path}, and it is not empty`, {
      expected: `a folder that only the user of the ${user} could write to, or an empty one`,
      hint: `Check it for files that are not yours, then run: chmod go-w ${path}`,
    });
  }
  if (mode & 0o077) await chmod(path, 0o700);
}

function inUse(path: string, { user, inUseHint }: FolderUse): Failure {
  return new Failure("refused", `another ${user} uses ${path}`, {
    expected: `one ${user} for each folder`,
    hint: inUseHint,
  });
}

function otherVersion(path: string, version: string, use: FolderUse): Failure {
  const known = /^[\w.]{1,20}$/.test(version) ? `version ${version}` : "an unknown version";
  return new Failure("refused", `${path} has ${known} of the layout; this ${use.user} needs version ${use.version}`, {
    expected: "a folder of the same version",
    hint: `Start the ${use.user} that wrote it, or name another folder: --data`,
  });
}
