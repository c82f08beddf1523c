import { randomUUID } from "node:crypto";
import { chmod, mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { Failure, holdLock, newRunId, type HeldLock } from "docker-over-ssh/builds";
import type { BodyFile } from "../job-store.ts";
import { replaceFile } from "./disk.ts";

/** Of the layout that is written here. */
const VERSION = "1";
/** Jobs, or links to files of this user, may have been put there. */
const OTHERS_MAY_WRITE = 0o022;
/** ms between two signs of life for servers on other hosts, and without one after which a server there counts as dead. */
const BEAT = 2_000;
const SILENCE = 12_000;
/** What may be in a folder without a version: what a server has left that was killed at its first start; the root of a file system has the last one. */
const OWN = new Set(["incoming", "jobs", "version.new", "lost+found"]);

/**
 * The folder of a store, which this process alone uses:
 *
 * - `version`: the number of this layout
 * - `server.lock/`: names the process that uses the folder
 * - `jobs/ID/`: a job. `job.json`: its record; `log`; `body`; `credentials`: sealed, until the job is over
 * - `incoming/`: what is not a job yet, or not any more
 *
 * A job appears and goes by one rename of its folder, and its record changes by one rename of a file.
 */
export class DataFolder implements AsyncDisposable {
  readonly path: string;
  /** Aborted when another server has taken the folder over, because this one was stopped for long. */
  readonly lost: AbortSignal;
  readonly #lock: HeldLock;
  readonly #beat: NodeJS.Timeout;

  /** Opens a folder, and creates it. Rejects with a `refused` Failure when it is in use or not a store's, and with the file system's errors. */
  static async open(path: string): Promise<DataFolder> {
    await mkdir(path, { recursive: true, mode: 0o700 });
    await refuseOthers(path);
    const lock = await holdLock(join(path, "server"), newRunId(), SILENCE);
    if (lock === undefined) throw inUse(path);
    try {
      await prepare(path);
    } catch (error) {
      await lock[Symbol.asyncDispose]();
      throw error;
    }
    return new DataFolder(path, lock);
  }

  private constructor(path: string, lock: HeldLock) {
    this.path = path;
    this.#lock = lock;
    const lost = new AbortController();
    this.lost = lost.signal;
    this.#beat = setInterval(() => {
      void lock.beat().then((isHeld) => isHeld || lost.abort());
    }, BEAT).unref();
  }

  get jobs(): string {
    return join(this.path, "jobs");
  }

  /** Returns the path of a file of a job. */
  fileOf(id: string, name: "job.json" | "log" | "body" | "credentials"): string {
    return join(this.jobs, id, name);
  }

  folderOf(id: string): string {
    return join(this.jobs, id);
  }

  /** Returns the path of something that is not a job yet, or not any more. */
  incoming(name: string): string {
    return join(this.path, "incoming", name);
  }

  async newBody(): Promise<BodyFile> {
    const path = this.incoming(`${randomUUID()}.body`);
    await (await open(path, "wx", 0o600)).close();
    return { path, [Symbol.asyncDispose]: async () => await rm(path, { force: true }) };
  }

  /** Removes a job: at once, and its files after that. */
  async remove(id: string): Promise<void> {
    const gone = this.incoming(`${id}.gone`);
    await rename(this.folderOf(id), gone);
    await rm(gone, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#beat);
    await this.#lock[Symbol.asyncDispose]();
  }
}

/** Makes what is missing, and removes what has not become a job. */
async function prepare(path: string): Promise<void> {
  const version = await readVersion(path);
  if (version !== undefined && version !== VERSION) throw otherVersion(path, version);
  await rm(join(path, "incoming"), { recursive: true, force: true });
  for (const name of ["incoming", "jobs"]) await mkdir(join(path, name), { recursive: true, mode: 0o700 });
  if (version === undefined) await replaceFile(join(path, "version"), `${VERSION}\n`);
}

async function readVersion(path: string): Promise<string | undefined> {
  try {
    return (await readFile(join(path, "version"), "utf8")).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Refuses a folder of another user or another program, before anything in it is changed; then closes it for other users. */
async function refuseOthers(path: string): Promise<void> {
  const { uid, mode } = await stat(path);
  if (process.getuid !== undefined && uid !== process.getuid()) {
    throw new Failure("refused", `${path} belongs to another user (${uid})`, {
      expected: "a folder of the user that runs the server",
      hint: `sudo chown -R ${process.getuid()} ${path}`,
    });
  }
  const names = await readdir(path);
  const others = names.filter((name) => !OWN.has(name) && !name.startsWith("server.lock"));
  if (!names.includes("version") && others.length > 0) {
    throw new Failure("refused", `${path} has other files: ${others.slice(0, 3).join(", ")}`, {
      expected: "an empty folder, or the one of an earlier start",
      hint: "Name another folder: --data",
    });
  }
  if (mode & OTHERS_MAY_WRITE && names.some((name) => name !== "lost+found")) {
    throw new Failure("refused", `others may write to ${path}, and there is something in it`, {
      expected: "a folder that only the user of the server could write to, or an empty one",
      hint: `Look for what is not yours in it, then: chmod go-w ${path}`,
    });
  }
  if (mode & 0o077) await chmod(path, 0o700);
}

function inUse(path: string): Failure {
  return new Failure("refused", `another server uses ${path}`, {
    expected: "one server for each folder",
    hint: "Stop the other one, or name another folder: --data. Several servers share their jobs with --redis.",
  });
}

function otherVersion(path: string, version: string): Failure {
  const known = /^[\w.]{1,20}$/.test(version) ? `version ${version}` : "an unknown version";
  return new Failure("refused", `${path} is of ${known} of the layout; this server has ${VERSION}`, {
    expected: "a folder of the same version",
    hint: "Start the server that has written it, or name another folder: --data",
  });
}
