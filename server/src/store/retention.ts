import type { Retention } from "../settings.ts";

/**
 * Number of jobs that stay at any age: the last jobs of a server that is seldom used, or whose clock was wrong when it
 * started.
 */
const MIN_STORED_JOBS = 10;
/** Minimum bytes that a job counts: its folder and its record. */
const JOB_OVERHEAD = 8 * 1024;

/** A job that may be removed: it is over, and its webhook is not due. */
export interface Removable {
  readonly id: string;
  readonly finishedAt: number;
  /** Bytes of all its data */
  readonly bytes: number;
}

/**
 * Returns the IDs of the jobs to remove: those that are older than `age`, except the ten newest, and the oldest while
 * all together have more than `bytes`, except the newest.
 */
export function expired(jobs: readonly Removable[], { age, bytes }: Retention, now: number): string[] {
  const sizeOf = (job: Removable): number => JOB_OVERHEAD + job.bytes;
  let left = jobs.reduce((sum, job) => sum + sizeOf(job), 0);
  if (left <= bytes && !jobs.some(({ finishedAt }) => now - finishedAt > age)) return [];
  const removed: string[] = [];
  const oldestFirst = jobs.toSorted((a, b) => a.finishedAt - b.finishedAt);
  for (const [index, job] of oldestFirst.entries()) {
    const newer = oldestFirst.length - index - 1;
    const isTooOld = now - job.finishedAt > age && newer >= MIN_STORED_JOBS;
    const isTooMuch = left > bytes && newer > 0;
    if (!isTooOld && !isTooMuch) break;
    left -= sizeOf(job);
    removed.push(job.id);
  }
  return removed;
}
