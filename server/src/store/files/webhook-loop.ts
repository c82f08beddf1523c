import { messageOf } from "docker-over-ssh/builds";
import type { Delivery, Job } from "../../jobs/job.ts";
import type { DeliveryOutcome } from "../job-store.ts";
import { delivered } from "../transitions.ts";
import type { Entry } from "./entry.ts";
import type { Jobs } from "./jobs.ts";

/** Number of webhooks that are delivered at the same time */
const MAX_CONCURRENT = 16;
/** Maximum for one owner: receivers that do not answer delay no other owner. */
const MAX_OF_ONE_OWNER = 4;
/** ms before a delivery is retried that was aborted by an error of this program */
const RETRY_DELAY = 60_000;

/** Delivers webhooks at their times until the signal is aborted; resolves when no delivery is in progress. */
export async function deliverWebhooks(
  jobs: Jobs,
  signal: AbortSignal,
  send: (job: Job) => Promise<DeliveryOutcome>,
): Promise<void> {
  const sending = new Map<Entry, Promise<void>>();
  const hasPlace = (owner: string): boolean =>
    sending.size < MAX_CONCURRENT &&
    [...sending.keys()].filter(({ job }) => job.owner === owner).length < MAX_OF_ONE_OWNER;
  const deliver = async (entry: Entry): Promise<void> => {
    const at = jobs.now();
    const outcome = await send(entry.job).catch((error: unknown) => ({
      delivery: errorOf(error, at, jobs.now()),
      again: RETRY_DELAY,
    }));
    await jobs.change(entry, (job, now) => delivered(job, outcome, now));
  };
  while (!signal.aborted) {
    let next: number | undefined;
    for (const entry of jobs.due) {
      if (sending.has(entry) || !hasPlace(entry.job.owner)) continue;
      const wait = (entry.job.webhook?.nextAt ?? jobs.now()) - jobs.now();
      if (wait > 0) next = Math.min(next ?? wait, wait);
      else
        sending.set(
          entry,
          deliver(entry).finally(() => (sending.delete(entry), jobs.webhooks.notify())),
        );
    }
    await jobs.webhooks.next(signal, next);
  }
  await Promise.all(sending.values());
}

function errorOf(error: unknown, at: number, now: number): Delivery {
  return { at, error: messageOf(error), ms: now - at };
}
