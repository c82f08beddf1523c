import { randomUUID } from "node:crypto";
import { lstat, mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { Failure, messageOf } from "docker-over-ssh/builds";
import { isJobId } from "../../jobs/job.ts";
import type { RedisDatabase } from "./connection.ts";
import type { BodyFile } from "../job-store.ts";

/** ms after which a file without a job is a leftover */
const LEFTOVER_AGE = 24 * 3600 * 1000;

/** The folder of bodies, which all servers and workers share. The files of jobs are named by their IDs. */
export class Bodies {
  readonly #incoming: string;
  readonly #jobBodies: string;

  private constructor(folder: string) {
    this.#incoming = join(folder, "incoming");
    this.#jobBodies = join(folder, "bodies");
  }

  /**
   * Opens the folder. A file in it and a key in Redis contain the same text, which the first server writes: at its
   * start, a server or a worker detects that it does not share the folder.
   *
   * @throws a `usage` Failure for a folder that differs from the others' folder, or is not writable
   */
  static async open(folder: string, database: RedisDatabase, key: string): Promise<Bodies> {
    const bodies = new Bodies(folder);
    try {
      for (const path of [folder, bodies.#incoming, bodies.#jobBodies]) {
        await mkdir(path, { recursive: true, mode: 0o700 });
        await refuseOthers(path);
      }
    } catch (error) {
      if (error instanceof Failure) throw error;
      throw new Failure("usage", `the folder ${folder} cannot be used: ${messageOf(error)}`, {
        expected: "a folder that this user may write to",
        hint: "Check the path of --data and its permissions.",
        cause: error,
      });
    }
    await compareMarkers(folder, database, key);
    return bodies;
  }

  /** Creates an empty file, readable only by this user. */
  async create(): Promise<BodyFile> {
    const path = join(this.#incoming, randomUUID());
    try {
      await (await open(path, "wx", 0o600)).close();
    } catch (error) {
      throw asNoSpace(error);
    }
    return { path, [Symbol.asyncDispose]: async () => await rm(path, { force: true }) };
  }

  /** Moves a file to the path of its job. */
  async take(id: string, body: BodyFile): Promise<void> {
    const file = await open(body.path, "r+");
    try {
      await file.sync(); // Redis persists the job, so its body must be on the disk as well
    } finally {
      await file.close();
    }
    await rename(body.path, this.pathOf(id)).catch((error: unknown) => {
      throw asNoSpace(error);
    });
  }

  /** Returns a file to a job that was not accepted. */
  async putBack(id: string, body: BodyFile): Promise<void> {
    await rename(this.pathOf(id), body.path);
  }

  /** Throws if the text is not an ID: others may write to Redis, the source of IDs. */
  pathOf(id: string): string {
    if (!isJobId(id)) throw new TypeError("not the ID of a job");
    return join(this.#jobBodies, id);
  }

  /** Returns the path of a job's body; undefined if it has none. */
  async find(id: string): Promise<string | undefined> {
    const path = this.pathOf(id);
    return (await isFile(path)) ? path : undefined;
  }

  async remove(id: string): Promise<void> {
    await rm(this.pathOf(id), { force: true });
  }

  /** Removes files that killed servers have left. */
  async removeLeftovers(isKnown: (ids: readonly string[]) => Promise<readonly boolean[]>): Promise<void> {
    const isOld = async (path: string): Promise<boolean> => {
      const found = await stat(path).catch(() => undefined);
      return found !== undefined && Date.now() - found.mtimeMs > LEFTOVER_AGE;
    };
    for (const name of await readdir(this.#incoming)) {
      const path = join(this.#incoming, name);
      if (await isOld(path)) await rm(path, { force: true });
    }
    const ids = (await readdir(this.#jobBodies)).filter((name) => isJobId(name));
    const known = await isKnown(ids);
    for (const [index, id] of ids.entries()) {
      if (known[index] === false && (await isOld(this.pathOf(id)))) await this.remove(id);
    }
  }
}

/** Rejects a folder into which other users may put files, or links to files of this user. */
async function refuseOthers(path: string): Promise<void> {
  const { mode } = await stat(path);
  if ((mode & 0o022) === 0 || process.platform === "win32") return;
  throw new Failure("usage", `others may write to ${path}`, {
    expected: "a folder that only the user of the service may write to",
    hint: `Check it for files that are not yours, then run: chmod go-w ${path}`,
  });
}

async function compareMarkers(folder: string, database: RedisDatabase, key: string): Promise<void> {
  const path = join(folder, "store-id");
  const inRedis = await database.use((redis) => redis.get(key));
  const found = await marker(path);
  const own = found ?? (inRedis === null ? await makeMarker(path) : undefined);
  if (own !== undefined && inRedis === null) await database.use((redis) => redis.set(key, own, "NX"));
  if (own !== undefined && own === (await database.use((redis) => redis.get(key)))) return;
  throw new Failure("usage", `the folder ${folder} is not the one that the other servers of this Redis use`, {
    expected: "all servers and workers share one folder of bodies, for example over NFS",
    hint: `Give the shared folder as --data. If it replaces a lost folder, remove that folder's key from Redis: redis-cli DEL ${key}`,
  });
}

async function marker(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, "utf8")).trim() || undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new Failure("usage", `${path} cannot be read: ${messageOf(error)}`, {
      expected: "a file that this user may read",
      hint: "Check its permissions.",
      cause: error,
    });
  }
}

/** Creates the complete file, unless another server is faster; returns its content. */
async function makeMarker(path: string): Promise<string | undefined> {
  const id = randomUUID();
  try {
    const file = await open(path, "wx", 0o600);
    await file.writeFile(`${id}\n`);
    await file.close();
    return id;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return await marker(path);
    throw new Failure("usage", `${path} cannot be written: ${messageOf(error)}`, {
      expected: "a file that this user may write",
      hint: "Check the permissions of its folder.",
      cause: error,
    });
  }
}

async function isFile(path: string): Promise<boolean> {
  return await lstat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

function asNoSpace(error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== "ENOSPC" && code !== "EDQUOT") return error;
  return new Failure("no-space", `the disk of the folder for bodies is full: ${messageOf(error)}`, {
    hint: "Free some space, or remove jobs sooner (--keep-for, --keep-bytes).",
    cause: error,
  });
}
