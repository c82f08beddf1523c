import type { Credentials } from "docker-over-ssh/builds";
import type { Delivery, Job, JobPhase, JobReason, JobState } from "../jobs/job.ts";

/**
 * Stores jobs with their bodies and logs, and passes jobs to workers. `files/` stores them in a folder for one server,
 * `redis/` in Redis for several servers and workers. A job that {@link add} has accepted is never lost: after a kill at
 * any moment, it runs again or has failed with a reason.
 *
 * Each method rejects with {@link StoreUnavailable} while the folder or Redis cannot be reached, and with a Failure
 * `no-space` when it is full. Disposing closes the store without waiting for running jobs.
 */
export interface JobStore extends AsyncDisposable {
  /** Creates an empty file for an incoming body. The caller disposes of it; {@link add} takes it over. */
  newBody(): Promise<BodyFile>;
  /** Accepts a job, which is stored when this resolves. For a known idempotency key, returns the job with that key. */
  add(job: NewJob): Promise<AddedJob>;
  get(id: string): Promise<Job | undefined>;
  /** Returns jobs, newest first. */
  list(query: JobQuery): Promise<JobPage>;
  /** Returns how many jobs run before a queued one; undefined for one that is not queued. */
  position(id: string): Promise<number | undefined>;
  /** Returns the number of jobs in each state; of one owner, or of all. */
  counts(owner?: string): Promise<Record<JobState, number>>;
  /**
   * Cancels a job and returns its current state. A queued job is over at once. Has no effect on a job that is over or
   * already cancelled.
   */
  cancel(id: string): Promise<Job | undefined>;
  /**
   * Returns the file with the body of a job, for a job that repeats it; undefined if it has no body, or the file no
   * longer exists.
   */
  bodyOf(id: string): Promise<string | undefined>;
  /** Reads a piece of a log. */
  readLog(id: string, options: ReadLogOptions): Promise<LogPiece>;
  /**
   * Calls `listener` after each change, including those of other servers. Changes of a log are reported at most every
   * 100 ms for a job. Disposing removes the listener.
   */
  watch(listener: (change: Change) => void): Disposable;
  /**
   * Runs jobs with `run`, up to `places` at the same time, until `signal` is aborted. At that point, it stops the
   * running jobs, and resolves when they have ended. Runs one job of an image name at a time; owners take turns. `run`
   * does not reject.
   */
  work(worker: WorkerOptions, run: (claim: Claim) => Promise<Outcome>): Promise<void>;
  /**
   * Delivers the webhooks of jobs that are over with `send`, and again at the times that it returns, until `signal` is
   * aborted.
   */
  workWebhooks(signal: AbortSignal, send: (job: Job) => Promise<DeliveryOutcome>): Promise<void>;
  /** Stores the report of a worker for 30 s. */
  report(worker: WorkerReport): Promise<void>;
  /** Returns the reports of live workers. */
  workers(): Promise<readonly WorkerReport[]>;
}

/** A file for a body, readable only by this user. Disposing removes it, unless `add` has taken it over. */
export interface BodyFile extends AsyncDisposable {
  readonly path: string;
}

export interface NewJob {
  /** Without the fields that the store sets */
  job: Omit<Job, "state" | "attempts" | "acceptedAt" | "phases" | "log" | "webhook" | "hasCredentials">;
  webhookUrl?: string | undefined;
  /** Taken over: it belongs to the store when this resolves. */
  body?: BodyFile | undefined;
  /** For the registry in the job's name. They are not part of the job, and are stored in memory or sealed. */
  credentials?: Credentials | undefined;
  idempotency?: Idempotency | undefined;
  /** Maximum number of queued jobs of this owner; one more rejects with {@link QueueFull}. */
  maxQueued?: number | undefined;
  /** Maximum number of running jobs of this owner */
  maxRunning?: number | undefined;
}

export interface Idempotency {
  /** The header `Idempotency-Key`, hashed with its owner */
  key: string;
  /** Hash of the request: the same key with a different request is an error. */
  fingerprint: string;
}

export type AddedJob =
  | { kind: "added"; job: Job }
  /** An earlier job with the same key and the same request */
  | { kind: "known"; job: Job }
  /** The key was used for a different request */
  | { kind: "conflict" };

export interface JobQuery {
  states?: readonly JobState[] | undefined;
  /** Only jobs whose name contains this text */
  name?: string | undefined;
  /** Only jobs of this owner. Default: all */
  owner?: string | undefined;
  /** From a {@link JobPage} */
  cursor?: string | undefined;
  limit: number;
}

export interface JobPage {
  jobs: readonly Job[];
  /** Cursor of the next page; undefined on the last page */
  cursor?: string | undefined;
}

export interface ReadLogOptions {
  /** ID of the last known line. Default: the start. An ID that the store does not know counts as the start. */
  after?: string | undefined;
  /** Approximate number of bytes. At least one line is read, if one exists. */
  limit: number;
}

export interface LogPiece {
  lines: readonly LogLine[];
  /** Whether the job is over, and these lines are the last. */
  isLast: boolean;
}

export interface LogLine {
  /** Identifies the line in its log: visible ASCII, without spaces */
  id: string;
  /** Without a line ending */
  text: string;
}

export interface Change {
  id: string;
  what: "job" | "log";
}

export interface WorkerOptions {
  /** `HOST:PID` */
  worker: string;
  /** The engine's address */
  engine: string;
  places: number;
  signal: AbortSignal;
  /**
   * Resolves when a job may be taken: the engine answers, and the worker is not stopping. Rejects only with the
   * signal's reason.
   */
  isReady: () => Promise<void>;
}

/** A job that a worker runs. */
export interface Claim {
  /** The job at the moment when it was taken: running */
  readonly job: Job;
  readonly credentials: Credentials | undefined;
  /** The file with the job's body; undefined if it has none */
  readonly body: string | undefined;
  /** Aborted with a {@link Stopped} when the job must end. */
  readonly signal: AbortSignal;
  /** Adds lines to the log. They are stored soon, and before the job is over. */
  log(lines: readonly string[]): void;
  /** Stores new facts about the job. */
  update(change: JobChange): Promise<void>;
}

/** Facts that a worker reports about a job. */
export type JobChange = Partial<Pick<Job, "imageId" | "digest" | "size" | "contextBytes">> & {
  state?: "running" | "pushing" | undefined;
  phases?: Partial<Record<JobPhase, number>> | undefined;
};

/** The reason why a job must end. */
export class Stopped extends Error {
  override readonly name = "Stopped";
  /**
   * cancelled; lost: the lease has ended, and another worker may run the job; stopping: the server stops, and the job
   * runs again later
   */
  readonly why: "cancelled" | "lost" | "stopping";

  constructor(why: Stopped["why"]) {
    super(`the job was stopped: ${why}`);
    this.why = why;
  }
}

/** The outcome of a run. */
export type Outcome =
  | { state: "succeeded" }
  | { state: "failed" | "cancelled" | "timed_out"; reason: JobReason }
  /**
   * The job runs again after `delay` ms. After three runs it fails with the reason. With `isFree`, this run does not
   * count.
   */
  | { state: "again"; reason: JobReason; delay: number; isFree: boolean };

export interface DeliveryOutcome {
  delivery: Delivery;
  /** ms before the next attempt; undefined: no more attempts */
  again?: number | undefined;
}

/** The report of a worker. */
export interface WorkerReport {
  worker: string;
  /** ms since 1970 */
  at: number;
  engine: EngineReport;
  places: number;
  /** IDs of jobs */
  running: readonly string[];
}

export interface EngineReport {
  address: string;
  isReachable: boolean;
  /** Reason why the engine cannot be reached */
  error?: string | undefined;
  version?: string | undefined;
  /** Bytes */
  disk?: { images: number; cache: number; volumes: number; containers: number } | undefined;
}

/** The storage of the jobs cannot be reached. */
export class StoreUnavailable extends Error {
  override readonly name = "StoreUnavailable";
}

/** An owner has its maximum number of queued jobs, or the whole queue is full. */
export class QueueFull extends Error {
  override readonly name = "QueueFull";
}
