import type { Credentials } from "docker-over-ssh/builds";
import type { Delivery, Job, JobPhase, JobReason, JobState } from "../jobs/job.ts";

/**
 * Keeps jobs, their bodies and logs, and hands jobs to workers. `files/` keeps them in a folder for one server, `redis/` in Redis for several servers
 * and workers. A job that {@link add} has accepted is never lost: after a kill at any moment it is run again, or has failed with a reason.
 *
 * Each method rejects with {@link StoreUnavailable} while what it is kept in cannot be reached, and with a Failure `no-space` when it is full.
 * Disposing closes it; it waits for nothing that runs.
 */
export interface JobStore extends AsyncDisposable {
  /** Creates an empty file for a body that arrives. Its owner disposes of it; {@link add} takes it over. */
  newBody(): Promise<BodyFile>;
  /** Accepts a job: it is kept when this resolves. With an idempotency key that is known, it returns the job of that key. */
  add(job: NewJob): Promise<AddedJob>;
  get(id: string): Promise<Job | undefined>;
  /** Newest first. */
  list(query: JobQuery): Promise<JobPage>;
  /** Returns how many jobs are to run before a queued one; undefined for one that is not queued. */
  position(id: string): Promise<number | undefined>;
  /** Returns how many jobs there are in each state; of one owner, or of all. */
  counts(owner?: string): Promise<Record<JobState, number>>;
  /** Asks for the end of a job. A queued one is over at once. Again, or for one that is over, it changes nothing. Returns the job as it is then. */
  cancel(id: string): Promise<Job | undefined>;
  /** Returns the file with the body of a job, for a job that repeats it; undefined where it has none, or it is gone. */
  bodyOf(id: string): Promise<string | undefined>;
  /** Reads a piece of a log. */
  readLog(id: string, options: ReadLogOptions): Promise<LogPiece>;
  /** Calls `listener` after each change, also of other servers. Of the log: at most every 100 ms for a job. Disposing ends it. */
  watch(listener: (change: Change) => void): Disposable;
  /**
   * Has `run` run jobs, up to `places` at the same time, until `signal` is aborted: then those that run are stopped, and this resolves when they have ended. One job of an image name
   * runs at a time, and tokens take turns. `run` does not reject.
   */
  work(worker: WorkerOptions, run: (claim: Claim) => Promise<Outcome>): Promise<void>;
  /** Has `send` deliver the webhooks of jobs that are over, and again at the times that it returns, until `signal` is aborted. */
  workWebhooks(signal: AbortSignal, send: (job: Job) => Promise<DeliveryOutcome>): Promise<void>;
  /** Keeps what a worker tells of itself for 30 s. */
  report(worker: WorkerReport): Promise<void>;
  /** Returns the reports of workers that live. */
  workers(): Promise<readonly WorkerReport[]>;
}

/** A file for a body, which only this user may read. Disposing removes it, unless `add` has taken it over. */
export interface BodyFile extends AsyncDisposable {
  readonly path: string;
}

export interface NewJob {
  /** Without what the store decides */
  job: Omit<Job, "state" | "attempts" | "acceptedAt" | "phases" | "log" | "webhook" | "hasCredentials">;
  webhookUrl?: string | undefined;
  /** Taken over: it is a file of the store when this resolves. */
  body?: BodyFile | undefined;
  /** For the registry in the job's name. They are not in the job, and are kept in memory, or sealed. */
  credentials?: Credentials | undefined;
  idempotency?: Idempotency | undefined;
  /** Jobs of this owner that may be queued; one more rejects with {@link QueueFull}. */
  maxQueued?: number | undefined;
  /** Jobs of this owner that may run at the same time */
  maxRunning?: number | undefined;
}

export interface Idempotency {
  /** The header `Idempotency-Key`, of one owner */
  key: string;
  /** Hash of the request: the same key with another request is an error. */
  fingerprint: string;
}

export type AddedJob =
  | { kind: "added"; job: Job }
  /** The job that was accepted before with the same key and the same request */
  | { kind: "known"; job: Job }
  /** The key was used for another request */
  | { kind: "conflict" };

export interface JobQuery {
  states?: readonly JobState[] | undefined;
  /** Jobs whose name contains this */
  name?: string | undefined;
  /** Jobs of this owner; left out: of all */
  owner?: string | undefined;
  /** From a {@link JobPage} */
  cursor?: string | undefined;
  limit: number;
}

export interface JobPage {
  jobs: readonly Job[];
  /** Of the next page; left out: there is none. */
  cursor?: string | undefined;
}

export interface ReadLogOptions {
  /** The ID of the last line that is known; left out: from the start. An ID that the store does not know counts as the start. */
  after?: string | undefined;
  /** Bytes, about. At least one line is read, if there is one. */
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
  /** Without an end of line */
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
  /** Resolves when a job may be taken: the engine answers, and the worker is not about to stop. Rejects only with the signal's reason. */
  isReady: () => Promise<void>;
}

/** A job that a worker runs. */
export interface Claim {
  /** As it was when it was taken: running */
  readonly job: Job;
  readonly credentials: Credentials | undefined;
  /** The file with the job's body; undefined for one without */
  readonly body: string | undefined;
  /** Aborted with a {@link Stopped} when the job is to end. */
  readonly signal: AbortSignal;
  /** Adds lines to the log. They are kept soon, and before the job is over. */
  log(lines: readonly string[]): void;
  /** Keeps what is known of the job. */
  update(change: JobChange): Promise<void>;
}

/** What a worker tells of a job. */
export type JobChange = Partial<Pick<Job, "imageId" | "digest" | "size" | "contextBytes">> & {
  state?: "running" | "pushing" | undefined;
  phases?: Partial<Record<JobPhase, number>> | undefined;
};

/** Why a job has to end. */
export class Stopped extends Error {
  override readonly name = "Stopped";
  /** cancelled; the lease is lost: another worker may run it; the server stops: the job is to run again */
  readonly why: "cancelled" | "lost" | "stopping";

  constructor(why: Stopped["why"]) {
    super(`the job was stopped: ${why}`);
    this.why = why;
  }
}

/** How a run has ended. */
export type Outcome =
  | { state: "succeeded" }
  | { state: "failed" | "cancelled" | "timed_out"; reason: JobReason }
  /** It is to run again, after `delay` ms; after three runs it has failed with the reason. With `isFree` this run does not count. */
  | { state: "again"; reason: JobReason; delay: number; isFree: boolean };

export interface DeliveryOutcome {
  delivery: Delivery;
  /** When to try again, ms from now; left out: never */
  again?: number | undefined;
}

/** What a worker tells of itself. */
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
  /** Why not */
  error?: string | undefined;
  version?: string | undefined;
  /** Bytes */
  disk?: { images: number; cache: number; volumes: number; containers: number } | undefined;
}

/** What keeps the jobs cannot be reached. */
export class StoreUnavailable extends Error {
  override readonly name = "StoreUnavailable";
}

/** An owner has as many queued jobs as it may, or there are as many as the server takes. */
export class QueueFull extends Error {
  override readonly name = "QueueFull";
}
