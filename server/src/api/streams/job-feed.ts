import type { Job } from "../../jobs/job.ts";
import {
  StoreUnavailable,
  type Change,
  type JobStore,
  type LogPiece,
  type ReadLogOptions,
} from "../../store/job-store.ts";
import { SharedReads } from "./shared-reads.ts";
import { Wakeup } from "./wakeup.ts";

/**
 * Maximum number of different jobs that wait for a reader of all jobs. A reader that is further behind is better served
 * by a new list.
 */
const MAX_PENDING = 1000;

/**
 * Distributes changes to all readers of streams, with one watch of the store, and one read for each change, for any
 * number of readers. For a reader, it stores only which jobs it has not seen yet. Disposing ends all readers.
 */
export class JobFeed implements Disposable {
  readonly #store: Pick<JobStore, "get" | "readLog" | "watch">;
  readonly #reads = new SharedReads();
  readonly #watch: Disposable;
  readonly #followers = new Map<string, Set<JobFollower>>();
  readonly #readers = new Set<JobsReader>();
  /** IDs of changed jobs that are not yet passed to readers of all jobs */
  readonly #changed = new Set<string>();
  readonly #retryDelay: number;
  #isReading = false;
  #isClosed = false;

  /** @param retryDelay ms before an unavailable store is queried again */
  constructor(store: Pick<JobStore, "get" | "readLog" | "watch">, { retryDelay = 1000 } = {}) {
    this.#store = store;
    this.#retryDelay = retryDelay;
    this.#watch = store.watch((change) => this.#onChange(change));
  }

  /** Reads a job; simultaneous callers share one read. */
  job(id: string): Promise<Job | undefined> {
    return this.#reads.share(id, "job", () => this.#store.get(id));
  }

  /** Reads a piece of a log; simultaneous callers at the same line share one read and its piece. */
  readLog(id: string, options: ReadLogOptions): Promise<LogPiece> {
    return this.#reads.share(id, `log ${options.limit} ${options.after ?? ""}`, () => this.#store.readLog(id, options));
  }

  /** Follows a job and its log until the follower is ended. Disposes of `held` at that point. */
  follow(id: string, held?: Disposable): JobFollower {
    const followers = this.#followers.get(id) ?? new Set();
    this.#followers.set(id, followers);
    const follower = new JobFollower(() => {
      held?.[Symbol.dispose]();
      followers.delete(follower);
      if (followers.size === 0 && this.#followers.get(id) === followers) this.#followers.delete(id);
    });
    followers.add(follower);
    if (this.#isClosed) follower.end();
    return follower;
  }

  /** Collects the changed jobs that `sees` accepts, until the reader is ended. Disposes of `held` at that point. */
  readJobs(sees: (job: Job) => boolean, held?: Disposable): JobsReader {
    const reader = new JobsReader(sees, () => {
      held?.[Symbol.dispose]();
      this.#readers.delete(reader);
    });
    this.#readers.add(reader);
    if (this.#isClosed) reader.end();
    return reader;
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#watch[Symbol.dispose]();
    for (const followers of this.#followers.values()) for (const follower of followers) follower.end();
    for (const reader of this.#readers) reader.end();
  }

  #onChange({ id, what }: Change): void {
    this.#reads.forget(id); // A read in progress may be older than the change
    for (const follower of this.#followers.get(id) ?? []) follower.notify(what);
    if (what !== "job" || this.#readers.size === 0) return;
    this.#changed.add(id);
    if (!this.#isReading) void this.#readChanged();
  }

  /** Reads changed jobs one after the other: a job that changes several times in the meantime is read once. */
  async #readChanged(): Promise<void> {
    this.#isReading = true;
    try {
      for (const id of this.#changed) {
        if (this.#isClosed || this.#readers.size === 0) break;
        this.#changed.delete(id);
        const job = await this.#changedJob(id);
        if (job !== undefined) for (const reader of this.#readers) reader.put(job);
      }
    } finally {
      this.#isReading = false;
      if (this.#readers.size === 0) this.#changed.clear();
    }
  }

  async #changedJob(id: string): Promise<Job | undefined> {
    try {
      return await this.job(id);
    } catch (error) {
      // Readers list all jobs when their stream begins again: after another error, they see the job at that point.
      if (!(error instanceof StoreUnavailable) || this.#isClosed) return undefined;
      this.#changed.add(id);
      await new Promise((resolve) => setTimeout(resolve, this.#retryDelay).unref());
      return undefined;
    }
  }
}

/** A reader that follows the log of a job while it grows. */
export class JobFollower extends Wakeup {
  #isJobChanged = false;

  /** Returns whether the job has changed since the last call. */
  takeJobChange(): boolean {
    const isChanged = this.#isJobChanged;
    this.#isJobChanged = false;
    return isChanged;
  }

  /** Wakes the reader after a change. */
  notify(what: Change["what"]): void {
    if (what === "job") this.#isJobChanged = true;
    this.wake();
  }
}

/** A reader of all changed jobs. If a job changes again before it is taken, only its newest state is stored. */
export class JobsReader extends Wakeup {
  readonly #sees: (job: Job) => boolean;
  readonly #pending = new Map<string, Job>();

  constructor(sees: (job: Job) => boolean, onEnd: () => void) {
    super(onEnd);
    this.#sees = sees;
  }

  put(job: Job): void {
    if (this.isOver || !this.#sees(job)) return;
    this.#pending.delete(job.id); // Keeps the order of the last changes
    this.#pending.set(job.id, job);
    if (this.#pending.size > MAX_PENDING) this.end();
    else this.wake();
  }

  /** Takes up to `count` jobs. */
  take(count: number): Job[] {
    const jobs: Job[] = [];
    for (const [id, job] of this.#pending) {
      if (jobs.length === count) break;
      this.#pending.delete(id);
      jobs.push(job);
    }
    return jobs;
  }
}
