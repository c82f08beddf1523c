import { messageOf } from "docker-over-ssh/builds";
import { isOver, type Job } from "../../jobs/job.ts";
import type { Retention } from "../../settings.ts";
import type { Clock } from "../clock.ts";
import type { Change } from "../job-store.ts";
import { expired } from "../retention.ts";
import type { Seal } from "../seal.ts";
import { cancelled, over, REASONS, recovered } from "../transitions.ts";
import { ChangeNotifier } from "./change-notifier.ts";
import { Changes } from "./changes.ts";
import type { DataFolder } from "./data-folder.ts";
import { bytesOf, compact, isRemovable, recordOf, type Entry } from "./entry.ts";
import { readJobs, removeCredentials, writeRecord } from "./job-files.ts";
import { JobIndex } from "./job-index.ts";
import { RunQueue } from "./run-queue.ts";

/** ms between two attempts to write failed records, and between two searches for expired jobs */
const REWRITE_EVERY = 1_000;
const EXPIRE_EVERY = 60_000;

export interface JobsOptions {
  maxLog: number;
  retention: Retention;
  seal?: Seal | undefined;
  warn: (message: string) => void;
}

/**
 * All jobs, in memory and in the folder. Changes of a job are applied one after the other, and each is written before
 * it is shown. If the disk is full, a change still takes effect, and is written as soon as possible.
 */
export class Jobs {
  readonly index = new JobIndex();
  readonly queue = new RunQueue();
  /** Jobs with a webhook to deliver */
  readonly due = new Set<Entry>();
  readonly changes = new Changes();
  /** Notified when a job may run, and when a webhook is due. */
  readonly work = new ChangeNotifier();
  readonly webhooks = new ChangeNotifier();
  readonly #folder: DataFolder;
  readonly #clock: Clock;
  readonly #options: JobsOptions;
  /** By job: its last change, for which the next one waits */
  readonly #changing = new Map<Entry, Promise<void>>();
  readonly #unwritten = new Set<Entry>();
  readonly #timers: NodeJS.Timeout[];
  #tidying: Promise<void> | undefined;
  #isClosed = false;

  #lastOrder = 0;

  constructor(folder: DataFolder, clock: Clock, options: JobsOptions) {
    this.#folder = folder;
    this.#clock = clock;
    this.#options = options;
    this.#timers = [
      setInterval(() => void this.#rewrite(), REWRITE_EVERY).unref(),
      setInterval(() => this.#tidy(), EXPIRE_EVERY).unref(),
    ];
  }

  /** Reads the jobs of the last start. Jobs that were running are queued again, or are over. */
  async load(): Promise<void> {
    const entries = await readJobs(this.#folder, this.#options);
    for (const entry of entries.toSorted((a, b) => a.record.order - b.record.order)) {
      this.index.add(entry);
      this.#lastOrder = entry.record.order;
      if (entry.job.webhook?.nextAt !== undefined) this.due.add(entry);
    }
    const unfinished = this.index.values().filter(({ job }) => !isOver(job));
    for (const entry of unfinished) this.queue.add(entry);
    await Promise.all(unfinished.map(async (entry) => await this.change(entry, afterRestart(entry))));
    this.#tidy();
  }

  /** Returns the order of the next accepted job, after those that were read. */
  nextOrder(): number {
    return ++this.#lastOrder;
  }

  now(): number {
    return this.#clock.now();
  }

  /** Adds an accepted job. */
  accept(entry: Entry): void {
    this.index.add(entry);
    this.queue.add(entry);
    this.notify(entry, "job");
    this.work.notify();
  }

  notify({ id }: Entry, what: Change["what"]): void {
    this.changes.notify({ id, what });
  }

  /**
   * Changes a job, unless `step` returns it unchanged. Resolves when the change is written and shown. Does not reject.
   *
   * @param step called when all previous changes are written
   */
  async change(entry: Entry, step: (job: Job, now: number) => Job): Promise<void> {
    const before = this.#changing.get(entry);
    const change = (async () => {
      await before;
      if (!this.#isClosed) await this.#change(entry, step(entry.job, this.now()));
    })();
    this.#changing.set(entry, change);
    await change;
    if (this.#changing.get(entry) === change) this.#changing.delete(entry);
  }

  async #change(entry: Entry, job: Job): Promise<void> {
    if (job === entry.job) return;
    const wasOver = isOver(entry.job);
    await this.#write(entry, job);
    entry.job = compact({ ...job, log: entry.job.log }); // lines may have been added in the meantime
    this.notify(entry, "job");
    if (job.webhook?.nextAt === undefined) this.due.delete(entry);
    else this.due.add(entry);
    if (!isOver(job)) return;
    this.webhooks.notify();
    if (wasOver) return;
    this.queue.remove(entry.id);
    if (job.hasCredentials) {
      entry.credentials = undefined;
      await removeCredentials(this.#folder, entry.id).catch((error: unknown) =>
        this.warn("a file was not removed", error),
      );
    }
    this.#tidy();
  }

  async #write(entry: Entry, job: Job): Promise<void> {
    try {
      await writeRecord(this.#folder, { ...recordOf(entry), job });
      this.#unwritten.delete(entry);
    } catch (error) {
      if (!this.#unwritten.has(entry)) this.warn(`the record of job ${entry.id} is not written yet`, error);
      this.#unwritten.add(entry);
    }
  }

  async #rewrite(): Promise<void> {
    for (const entry of this.#unwritten) await this.change(entry, (job) => ({ ...job }));
  }

  /** Removes expired jobs. */
  #tidy(): void {
    this.#tidying ??= this.#removeExpired().finally(() => (this.#tidying = undefined));
  }

  async #removeExpired(): Promise<void> {
    await Promise.resolve(); // jobs that end at the same time are counted together
    const removable = this.index.values().filter((entry) => isRemovable(entry));
    const jobs = removable.map((entry) => ({
      id: entry.id,
      finishedAt: entry.job.finishedAt ?? 0,
      bytes: bytesOf(entry),
    }));
    for (const id of expired(jobs, this.#options.retention, this.now())) {
      const entry = this.index.get(id);
      if (entry === undefined || this.#isClosed) continue;
      try {
        await this.#changing.get(entry);
        await this.#folder.remove(id);
      } catch (error) {
        this.warn(`the job ${id} was not removed`, error);
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") continue;
      }
      this.index.remove(entry);
      this.#unwritten.delete(entry);
      this.notify(entry, "job");
    }
  }

  /** Reports an error that fails no call. */
  warn(what: string, error: unknown): void {
    this.#options.warn(`${what}: ${messageOf(error)}`);
  }

  /** Finishes the writes in progress, and starts no more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const timer of this.#timers) clearInterval(timer);
    await Promise.all([...this.#changing.values(), this.#tidying]);
  }
}

/** Returns the state of a job that was not over when the server ended. */
function afterRestart({ credentials }: Entry): (job: Job, now: number) => Job {
  return (job, now) => {
    if (job.cancelledAt !== undefined) return cancelled(job, now);
    if (job.hasCredentials && credentials === undefined) {
      return over(job, { state: "failed", reason: REASONS.credentialsLost }, now);
    }
    return recovered(job, now);
  };
}
