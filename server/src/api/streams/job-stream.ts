import type { Job } from "../../jobs/job.ts";
import type { JobsReader } from "./job-feed.ts";
import { SSE_HEARTBEAT, SSE_START, sseEvent } from "./sse.ts";

/** Maximum number of jobs that are sent at a time. */
const BATCH = 16;

/** Yields changed jobs as events `job`, each in its newest state. */
export async function* jobEvents(
  reader: JobsReader,
  { heartbeat, encode }: { heartbeat: number; encode: (job: Job) => Buffer },
): AsyncGenerator<Buffer | string> {
  yield SSE_START;
  while (!reader.isOver) {
    const jobs = reader.take(BATCH);
    if (jobs.length > 0) {
      yield Buffer.concat(jobs.map(encode));
      continue;
    }
    const isAwake = await reader.sleep(heartbeat);
    if (!isAwake && !reader.isOver) yield SSE_HEARTBEAT;
  }
}

/**
 * Returns a function that encodes the event of a job. Readers share the bytes as long as somebody refers to the job.
 */
export function jobEventEncoder(view: (job: Job) => unknown): (job: Job) => Buffer {
  const events = new WeakMap<Job, Buffer>();
  return (job) => {
    const known = events.get(job);
    if (known !== undefined) return known;
    const event = Buffer.from(sseEvent({ event: "job", data: JSON.stringify(view(job)) }));
    events.set(job, event);
    return event;
  };
}
