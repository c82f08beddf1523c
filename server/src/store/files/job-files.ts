import { mkdir, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, type Credentials } from "docker-over-ssh/builds";
import { replaceFile, sync, writeFileSynced } from "../../files/replace-file.ts";
import { isOver } from "../../jobs/job.ts";
import type { BodyFile } from "../job-store.ts";
import type { Seal, SealedFor } from "../seal.ts";
import type { DataFolder } from "./data-folder.ts";
import { entryOf, recordOf, type Entry, type JobRecord } from "./entry.ts";
import { recoverLog } from "./log-file.ts";

/** Number of files that are read at the same time */
const MAX_CONCURRENT = 16;

/**
 * Creates the folder of a job. After a kill at any moment, it is complete or missing. It is on the disk when this
 * resolves.
 */
export async function createJob(
  folder: DataFolder,
  entry: Entry,
  body: BodyFile | undefined,
  seal: Seal | undefined,
): Promise<void> {
  const part = folder.incoming(entry.id);
  try {
    await mkdir(part, { mode: 0o700 });
    if (body !== undefined) {
      await sync(body.path);
      await rename(body.path, join(part, "body"));
    }
    await writeFileSynced(join(part, "job.json"), JSON.stringify(recordOf(entry)));
    if (seal !== undefined && entry.credentials !== undefined) {
      await writeFileSynced(join(part, "credentials"), seal.seal(entry.job, entry.credentials));
    }
    await sync(part);
    await rename(part, folder.folderOf(entry.id));
    await sync(folder.jobs);
  } catch (error) {
    for (const path of [part, folder.folderOf(entry.id)])
      await rm(path, { recursive: true, force: true }).catch(() => {});
    throw error;
  }
}

export async function writeRecord(folder: DataFolder, record: JobRecord): Promise<void> {
  await replaceFile(folder.fileOf(record.job.id, "job.json"), JSON.stringify(record));
}

export async function removeCredentials(folder: DataFolder, id: string): Promise<void> {
  await rm(folder.fileOf(id, "credentials"), { force: true });
}

/**
 * Reads all jobs. For jobs that are not over, it reads the complete lines of the log, and opens stored credentials.
 *
 * @param warn called for an unreadable job, whose files stay
 */
export async function readJobs(
  folder: DataFolder,
  options: { maxLog: number; seal?: Seal | undefined; warn: (message: string) => void },
): Promise<Entry[]> {
  const ids = (await readdir(folder.jobs)).toSorted();
  const entries: Entry[] = [];
  const readNext = async (): Promise<void> => {
    for (let id = ids.pop(); id !== undefined; id = ids.pop()) {
      try {
        entries.push(await readJob(folder, id, options));
      } catch (error) {
        options.warn(`the job in ${folder.folderOf(id)} cannot be read, and is skipped: ${messageOf(error)}`);
      }
    }
  };
  await Promise.all(Array.from({ length: MAX_CONCURRENT }, readNext));
  return entries;
}

async function readJob(
  folder: DataFolder,
  id: string,
  options: Omit<Parameters<typeof readJobs>[1], "warn">,
): Promise<Entry> {
  const record = JSON.parse(await readFile(folder.fileOf(id, "job.json"), "utf8")) as JobRecord;
  if (record.job.id !== id) throw new Error(`it names the job ${record.job.id}`);
  const entry = entryOf(record);
  if (isOver(entry.job)) return entry;
  entry.job = { ...entry.job, log: await recoverLog(folder.fileOf(id, "log"), options.maxLog) };
  if (entry.job.hasCredentials) entry.credentials = await openCredentials(folder, entry.job, options.seal);
  return entry;
}

async function openCredentials(
  folder: DataFolder,
  job: SealedFor,
  seal: Seal | undefined,
): Promise<Credentials | undefined> {
  if (seal === undefined) return undefined;
  try {
    return seal.open(job, await readFile(folder.fileOf(job.id, "credentials"), "utf8"));
  } catch {
    return undefined; // they were not stored, or were sealed with another key
  }
}
