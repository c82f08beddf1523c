import { isOver, type Job } from "../../jobs/job.ts";
import type { JobStore } from "../../store/job-store.ts";
import type { Metrics } from "./metrics.ts";

/** Jobs whose end is remembered: they change once more when a webhook is delivered. */
const REMEMBERED = 10_000;

/**
 * Counts jobs as they end, each once, until it is disposed of. With several servers, each counts those that are its own.
 *
 * @param isOwn whether a job is this process's to count
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
    if (counted.size > REMEMBERED) counted.delete(counted.values().next().value ?? "");
    metrics.jobEnded(job);
  }
}
