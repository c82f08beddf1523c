import type { Credentials } from "docker-over-ssh/builds";
import { isOver, type Job } from "../../jobs/job.ts";
import type { Idempotency, Stopped } from "../job-store.ts";
import type { LogWriter } from "./log-file.ts";

/** What is in the file of a job. */
export interface JobRecord {
  job: Job;
  /** Jobs were accepted in this order. */
  order: number;
  idempotency?: Idempotency | undefined;
  maxRunning?: number | undefined;
  hasBody: boolean;
  bodyBytes: number;
}

/** A job of the store, in memory. */
export interface Entry {
  readonly id: string;
  /** As it is shown: replaced, never changed */
  job: Job;
  readonly record: Readonly<Omit<JobRecord, "job">>;
  credentials: Credentials | undefined;
  /** While it runs */
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
 * Returns a job as it is after a restart. One that was put together by spreading is a dictionary to V8, and reading a field of it takes 20 times as long as
 * that of a parsed one, which tells when a list looks at ten thousand.
 */
export function compact(job: Job): Job {
  return JSON.parse(JSON.stringify(job)) as Job;
}

export function recordOf({ job, record }: Entry): JobRecord {
  return { job, ...record };
}

/** Bytes of what is kept for a job, about */
export function bytesOf({ job, record }: Entry): number {
  return record.bodyBytes + job.log.bytes;
}

/** Whether a job may be removed: it is over, and no webhook of it is due. */
export function isRemovable({ job }: Entry): boolean {
  return isOver(job) && job.webhook?.nextAt === undefined;
}
