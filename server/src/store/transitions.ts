/**
 * The transitions between the states of a job, which both stores share. Functions do not change a job, but return a new
 * one.
 */
import { isOver, type Job, type JobReason } from "../jobs/job.ts";
import type { DeliveryOutcome, JobChange, NewJob, Outcome } from "./job-store.ts";

/** Maximum number of runs of a job. After this number of interrupted runs, it has failed. */
export const MAX_RUNS = 3;
/** ms until an idempotency key expires */
export const KEY_AGE = 24 * 3600 * 1000;
/** Bytes reserved for the last line of a log, which reports that the log is cut. */
const CUT_LINE_SPACE = 100;

/** The reasons that a store sets. */
export const REASONS = {
  cancelled: { code: "cancelled", message: "the build was cancelled" },
  lost: {
    code: "worker-lost",
    message: "the worker or the server ended while it ran the build",
    expected: "a worker that runs until the build is over",
    hint: "Read the log of the server; the disk or the memory of its machine may be full. Then submit the build again.",
  },
  credentialsLost: {
    code: "credentials-lost",
    message: "the credentials for the registry are lost: the server keeps them in memory only, and has been restarted",
    expected: "a server that runs until the build is over, or that is started with --key-file",
    hint: "Submit the build again. With --key-file, the server stores the credentials of builds encrypted, and they survive a restart.",
  },
} as const satisfies Record<string, JobReason>;

/** Returns an accepted job. */
export function accepted({ job, webhookUrl, credentials }: NewJob, now: number): Job {
  return {
    ...job,
    state: "queued",
    hasCredentials: credentials !== undefined,
    attempts: 0,
    acceptedAt: now,
    phases: {},
    ...(webhookUrl !== undefined && { webhook: { url: webhookUrl, deliveries: [] } }),
    log: { lines: 0, bytes: 0, isCut: false },
  };
}

/** Returns a queued job that a worker has taken. */
export function started(job: Job, { worker, engine }: { worker: string; engine: string }, now: number): Job {
  const { reason: _, ...rest } = job;
  const queue = Math.max(0, now - job.acceptedAt);
  return { ...rest, state: "running", attempts: job.attempts + 1, startedAt: now, phases: { queue }, worker, engine };
}

/** Returns a job with the changes that a worker reports. */
export function changed(job: Job, { phases, state, ...known }: JobChange): Job {
  return { ...job, ...known, state: state ?? job.state, phases: { ...job.phases, ...phases } };
}

/** Returns a job whose run has ended: over, or queued again. */
export function ended(job: Job, outcome: Outcome, now: number): Job {
  if (outcome.state !== "again") return over(job, outcome, now);
  if (job.cancelledAt !== undefined) return cancelled(job, now);
  if (outcome.isFree)
    return { ...job, state: "queued", attempts: Math.max(0, job.attempts - 1), reason: outcome.reason };
  if (job.attempts >= MAX_RUNS) return over(job, { state: "failed", reason: outcome.reason }, now);
  return { ...job, state: "queued", reason: outcome.reason };
}

/** Returns a job whose worker has died: queued again, or over. A queued job is unchanged. */
export function recovered(job: Job, now: number): Job {
  if (job.state === "queued" || isOver(job)) return job;
  return ended(job, { state: "again", reason: REASONS.lost, delay: 0, isFree: false }, now);
}

/** Returns a cancelled job that does not run. */
export function cancelled(job: Job, now: number): Job {
  return over({ ...job, cancelledAt: job.cancelledAt ?? now }, { state: "cancelled", reason: REASONS.cancelled }, now);
}

/** Returns a job that is over. Its webhook is due. */
export function over(job: Job, outcome: Exclude<Outcome, { state: "again" }>, now: number): Job {
  const { reason: _, ...rest } = job;
  return {
    ...rest,
    state: outcome.state,
    ...("reason" in outcome && { reason: outcome.reason }),
    finishedAt: now,
    ...(job.webhook && { webhook: { ...job.webhook, nextAt: now } }),
  };
}

/** Returns a job after an attempt to deliver its webhook. */
export function delivered(job: Job, { delivery, again }: DeliveryOutcome, now: number): Job {
  if (job.webhook === undefined) return job;
  const { url, deliveries } = job.webhook;
  const next = again === undefined ? {} : { nextAt: now + again };
  return { ...job, webhook: { url, deliveries: [...deliveries, delivery], ...next } };
}

/** Returns the last line of a cut log. */
export function cutLine(maxLog: number): string {
  return `[the log is cut here: it has reached its limit of ${maxLog} bytes]`;
}

/** Returns the maximum bytes of a log's lines before its last line. */
export function spaceInLog(maxLog: number): number {
  return Math.max(0, maxLog - CUT_LINE_SPACE);
}

/** Splits a text into lines without line endings. */
export function splitLines(text: string): string[] {
  return text.includes("\n") ? text.split(/\r?\n/) : [text];
}
