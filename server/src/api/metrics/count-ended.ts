import { isOver, type Job } from "../../jobs/job.ts";
import type { JobStore } from "../../store/job-store.ts";
import type { Metrics } from "./metrics.ts";

/** Number of jobs whose end is remembered: a job changes again when its webhook is delivered. */
const MAX_COUNTED = 10_000;

/**
 * Counts each job once when it ends, until it is disposed of. Each of several servers counts its own jobs.
 *
 * @param isOwn returns whether this process counts the job
 */
export function countEnded(
  store: Pick<JobStore, "get" | "watch">,
  metrics: Pick<Metrics, "jobEnded">,
  isOwn: (job: Job) => boolean,
): Disposable {
  const counted = new Set<string>();
  return store.watch(({ id, what }) => {
    if (what === "job" && !counted.has(id)) void count(id);
  });

  async function count(id: string): Promise<void> {
    const job = await store.get(id).catch(() => undefined);
    if (job === undefined || !isOver(job) || counted.has(id) || !isOwn(job)) return;
    counted.add(id);
    if (counted.size > MAX_COUNTED) counted.delete(counted.values().next().value ?? "");
    metrics.jobEnded(job);
  }
}
