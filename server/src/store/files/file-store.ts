import { stat } from "node:fs/promises";
import { Failure } from "docker-over-ssh/builds";
import { isJobId, isOver, type Job, type JobState } from "../../jobs/job.ts";
import type { Retention } from "../../settings.ts";
import { monotonicClock, type Clock } from "../clock.ts";
import {
  QueueFull,
  StoreUnavailable,
  Stopped,
  type AddedJob,
  type BodyFile,
  type Change,
  type Claim,
  type DeliveryOutcome,
  type JobPage,
  type JobQuery,
  type JobStore,
  type LogPiece,
  type NewJob,
  type Outcome,
  type ReadLogOptions,
  type WorkerOptions,
  type WorkerReport,
} from "../job-store.ts";
import type { Seal } from "../seal.ts";
import { accepted, cancelled } from "../transitions.ts";
import { DataFolder } from "./data-folder.ts";
import { asStoreError } from "./disk.ts";
import { compact, entryOf } from "./entry.ts";
import { createJob } from "./job-files.ts";
import { readLines } from "./log-file.ts";
import { Jobs } from "./jobs.ts";
import { runJobs } from "./run-jobs.ts";
import { deliverWebhooks } from "./webhook-loop.ts";
import { Reports } from "./reports.ts";

export interface FileStoreOptions {
  /** Created for this user alone. */
  folder: string;
  /** Maximum bytes of one log */
  maxLog: number;
  /** Maximum number of queued jobs, of all owners */
  maxQueued: number;
  retention: Retention;
  /** Preserves credentials across a restart. If undefined, they are only in memory. */
  seal?: Seal | undefined;
  clock?: Clock | undefined;
  /** Called with problems that do not fail a call */
  warn?: ((message: string) => void) | undefined;
}

/**
 * Opens a store in a folder, which only this process uses until the store is disposed of. Restores the jobs of the last
 * start: queued jobs keep their order; jobs that were running are queued again, or have failed.
 *
 * @throws a `refused` Failure if another server uses the folder, it is not a store's folder, or it is unusable;
 * `no-space`
 */
export async function openFileStore(options: FileStoreOptions): Promise<JobStore> {
  try {
    return await FileStore.open(options);
  } catch (error) {
    const storeError = asStoreError(error, options.folder);
    if (!(storeError instanceof StoreUnavailable)) throw storeError;
    throw new Failure("refused", storeError.message, {
      expected: "a folder that this user can create, read and write",
      hint: "Fix its permissions, or name another folder: --data",
      cause: error,
    });
  }
}

class FileStore implements JobStore {
  readonly #options: FileStoreOptions;
  readonly #folder: DataFolder;
  readonly #jobs: Jobs;
  readonly #reports: Reports;
  readonly #closed = new AbortController();
  /** Jobs that are being accepted: their number by owner, and by idempotency key */
  readonly #arriving = new Map<string, number>();
  readonly #adding = new Map<string, Promise<unknown>>();

  static async open(options: FileStoreOptions): Promise<FileStore> {
    const folder = await DataFolder.open(options.folder);
    const clock = options.clock ?? monotonicClock();
    const store = new FileStore(options, clock, folder);
    try {
      await store.#jobs.load();
      return store;
    } catch (error) {
      await store[Symbol.asyncDispose]();
      throw error;
    }
  }

  private constructor(options: FileStoreOptions, clock: Clock, folder: DataFolder) {
    this.#options = options;
    this.#folder = folder;
    this.#jobs = new Jobs(folder, clock, { ...options, warn: options.warn ?? (() => {}) });
    this.#reports = new Reports(clock);
    folder.lost.addEventListener("abort", () => {
      for (const { run } of this.#jobs.index.values()) {
        run?.log.drop();
        run?.stop(new Stopped("lost"));
      }
      void this.#close();
    });
  }

  async newBody(): Promise<BodyFile> {
    return await this.#use(async () => await this.#folder.newBody());
  }

  async add(job: NewJob): Promise<AddedJob> {
    if (!isJobId(job.job.id)) throw new TypeError("a job's ID must be a UUID, because it names a folder");
    return await this.#use(async () => {
      if (job.idempotency === undefined) return await this.#accept(job);
      const key = JSON.stringify([job.job.owner, job.idempotency.key]);
      for (let other = this.#adding.get(key); other !== undefined; other = this.#adding.get(key)) {
        await other.catch(() => {}); // the other call reports its failure to its own caller; this one is next
      }
      const known = this.#jobs.index.byKey(job.job.owner, job.idempotency.key, this.#jobs.now());
      if (known !== undefined) {
        const isSame = known.record.idempotency?.fingerprint === job.idempotency.fingerprint;
        return isSame ? { kind: "known", job: known.job } : { kind: "conflict" };
      }
      const adding = this.#accept(job).finally(() => this.#adding.delete(key));
      this.#adding.set(key, adding);
      return await adding;
    });
  }

  async #accept(newJob: NewJob): Promise<AddedJob> {
    const { owner } = newJob.job;
    this.#refuseFull(newJob);
    this.#arriving.set(owner, (this.#arriving.get(owner) ?? 0) + 1);
    try {
      const { idempotency, maxRunning, body, credentials } = newJob;
      const bodyBytes = body === undefined ? 0 : (await stat(body.path)).size;
      const job = compact(accepted(newJob, this.#jobs.now()));
      const entry = entryOf({
        job,
        order: this.#jobs.nextOrder(),
        idempotency,
        maxRunning,
        hasBody: body !== undefined,
        bodyBytes,
      });
      entry.credentials = credentials;
      await createJob(this.#folder, entry, body, this.#options.seal);
      this.#jobs.accept(entry);
      return { kind: "added", job };
    } finally {
      const left = (this.#arriving.get(owner) ?? 0) - 1;
      if (left > 0) this.#arriving.set(owner, left);
      else this.#arriving.delete(owner);
    }
  }

  #refuseFull({ job: { owner }, maxQueued = Infinity }: NewJob): void {
    const { queue } = this.#jobs;
    const arriving = [...this.#arriving.values()].reduce((sum, count) => sum + count, 0);
    if (queue.size + arriving >= this.#options.maxQueued) {
      throw new QueueFull(`the server accepts no more than ${this.#options.maxQueued} queued jobs`);
    }
    if (queue.sizeOf(owner) + (this.#arriving.get(owner) ?? 0) >= maxQueued) {
      throw new QueueFull(`${owner} may have no more than ${maxQueued} queued jobs`);
    }
  }

  async get(id: string): Promise<Job | undefined> {
    return await this.#use(async () => this.#jobs.index.get(id)?.job);
  }

  async list(query: JobQuery): Promise<JobPage> {
    return await this.#use(async () => {
      const { entries, cursor } = this.#jobs.index.page(query);
      return { jobs: entries.map(({ job }) => job), cursor };
    });
  }

  async position(id: string): Promise<number | undefined> {
    return await this.#use(async () => this.#jobs.queue.position(id));
  }

  async counts(owner?: string): Promise<Record<JobState, number>> {
    return await this.#use(async () => this.#jobs.index.counts(owner));
  }

  async cancel(id: string): Promise<Job | undefined> {
    return await this.#use(async () => {
      const entry = this.#jobs.index.get(id);
      if (entry === undefined) return undefined;
      if (!isOver(entry.job)) this.#jobs.queue.remove(id); // no worker takes it from this point on
      await this.#jobs.change(entry, (job, now) => {
        if (job.state === "queued") return cancelled(job, now);
        return isOver(job) || job.cancelledAt !== undefined ? job : { ...job, cancelledAt: now };
      });
      entry.run?.stop(new Stopped("cancelled"));
      return entry.job;
    });
  }

  async bodyOf(id: string): Promise<string | undefined> {
    return await this.#use(async () => {
      const entry = this.#jobs.index.get(id);
      return entry?.record.hasBody ? this.#folder.fileOf(id, "body") : undefined;
    });
  }

  async readLog(id: string, { after, limit }: ReadLogOptions): Promise<LogPiece> {
    return await this.#use(async () => {
      const entry = this.#jobs.index.get(id);
      if (entry === undefined) return { lines: [], isLast: true };
      const { job } = entry; // a copy of the current state: lines that arrive during the read belong to the next piece
      const lines = await readLines(this.#folder.fileOf(id, "log"), { after, limit, end: job.log.bytes });
      const isEnd = lines.length === 0 || lines.at(-1)?.id === String(job.log.bytes);
      return { lines, isLast: isOver(job) && isEnd };
    });
  }

  watch(listener: (change: Change) => void): Disposable {
    return this.#jobs.changes.watch(listener);
  }

  async work(worker: WorkerOptions, run: (claim: Claim) => Promise<Outcome>): Promise<void> {
    const { maxLog } = this.#options;
    await runJobs({ jobs: this.#jobs, folder: this.#folder, maxLog, closed: this.#closed.signal }, worker, run);
  }

  async workWebhooks(signal: AbortSignal, send: (job: Job) => Promise<DeliveryOutcome>): Promise<void> {
    await deliverWebhooks(this.#jobs, AbortSignal.any([signal, this.#closed.signal]), send);
  }

  async report(report: WorkerReport): Promise<void> {
    this.#reports.add(report);
  }

  async workers(): Promise<readonly WorkerReport[]> {
    return this.#reports.current();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
    await this.#folder[Symbol.asyncDispose]();
  }

  async #close(): Promise<void> {
    this.#closed.abort();
    const logs = this.#jobs.index.values().map(async ({ run }) => await run?.log.close());
    await Promise.all([...logs, this.#jobs.close()]);
  }

  /** Converts errors of the file system to errors of a store. */
  async #use<T>(use: () => Promise<T>): Promise<T> {
    if (this.#closed.signal.aborted)
      throw new StoreUnavailable(`${this.#options.folder} is closed, or is used by another server`);
    try {
      return await use();
    } catch (error) {
      throw asStoreError(error, this.#options.folder);
    }
  }
}
