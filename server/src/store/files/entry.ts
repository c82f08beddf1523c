import type { Credentials } from "docker-over-ssh/builds";
import { isOver, type Job } from "../../jobs/job.ts";
import type { Idempotency, Stopped } from "../job-store.ts";
import type { LogWriter } from "./log-file.ts";

/** The content of a job's file. */
export interface JobRecord {
  job: Job;
  /** Position in the order in which jobs were accepted. */
  order: number;
  idempotency?: Idempotency | undefined;
  maxRunning?: number | undefined;
  hasBody: boolean;
  bodyBytes: number;
}

/** A job of the store, in memory. */
export interface Entry {
  readonly id: string;
  /** The job as it is shown: replaced, never changed */
  job: Job;
  readonly record: Readonly<Omit<JobRecord, "job">>;
  credentials: Credentials | undefined;
  /** Set while the job runs */
  run: RunningJob | undefined;
}

export interface RunningJob {
  readonly log: LogWriter;
  stop(reason: Stopped): void;
}

export function entryOf({ job, ...record }: JobRecord): Entry {
  return { id: job.id, job, record, credentials: undefined, run: undefined };
}

/**
 * Returns a copy of a job in the form that a restart produces. V8 treats an object created by spreading as a
 * dictionary, and reads its fields 20 times as slowly as those of a parsed object, which is noticeable when a list
 * reads ten thousand jobs.
 */
export function compact(job: Job): Job {
  return JSON.parse(JSON.stringify(job)) as Job;
}

export function recordOf({ job, record }: Entry): JobRecord {
  return { job, ...record };
}

/** Returns the approximate bytes that are stored for a job */
export function bytesOf({ job, record }: Entry): number {
  return record.bodyBytes + job.log.bytes;
}

/** Returns whether a job may be removed: it is over, and its webhook is not due. */
export function isRemovable({ job }: Entry): boolean {
  return isOver(job) && job.webhook?.nextAt === undefined;
}
