import { randomUUID } from "node:crypto";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { openOwnFolder, type OwnFolder } from "../../files/own-folder.ts";
import type { BodyFile } from "../job-store.ts";

/**
 * The folder of a store, which only this process uses:
 *
 * - `version`: the number of this layout
 * - `server.lock/`: names the process that uses the folder
 * - `jobs/ID/`: a job. `job.json`: its record; `log`; `body`; `credentials`: sealed, until the job is over
 * - `incoming/`: files that are not yet, or no longer, part of a job
 *
 * One rename of its folder creates or removes a job, and one rename of a file changes its record.
 */
export class DataFolder implements AsyncDisposable {
  readonly path: string;
  /** Aborted when another server has taken over the folder, because this one was stopped for a long time. */
  readonly lost: AbortSignal;
  readonly #folder: OwnFolder;

  /**
   * Opens a folder, and creates it if necessary. Rejects with a `refused` Failure if it is in use or not a store's
   * folder, and with the file system's errors.
   */
  static async open(path: string): Promise<DataFolder> {
    const folder = await openOwnFolder(path, {
      user: "server",
      version: "1",
      names: new Set(["incoming", "jobs"]),
      inUseHint: "Stop the other one, or name another folder: --data. Several servers share their jobs with --redis.",
      prepare,
    });
    return new DataFolder(folder);
  }

  private constructor(folder: OwnFolder) {
    this.path = folder.path;
    this.lost = folder.lost;
    this.#folder = folder;
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

  /** Returns a path for a file that is not yet, or no longer, part of a job. */
  incoming(name: string): string {
    return join(this.path, "incoming", name);
  }

  async newBody(): Promise<BodyFile> {
    const path = this.incoming(`${randomUUID()}.body`);
    await (await open(path, "wx", 0o600)).close();
    return { path, [Symbol.asyncDispose]: async () => await rm(path, { force: true }) };
  }

  /** Removes a job at once, and its files afterwards. */
  async remove(id: string): Promise<void> {
    const gone = this.incoming(`${id}.gone`);
    await rename(this.folderOf(id), gone);
    await rm(gone, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#folder[Symbol.asyncDispose]();
  }
}

/** Creates missing entries, and removes files that have not become jobs. */
async function prepare(path: string): Promise<void> {
  await rm(join(path, "incoming"), { recursive: true, force: true });
  for (const name of ["incoming", "jobs"]) await mkdir(join(path, name), { recursive: true, mode: 0o700 });
}
