import { DelayedError, Worker } from "bullmq";
import { patientClient, type RedisAddress } from "./connection.ts";
import type { LeaseTimes } from "./lease.ts";
import { DELIVERED } from "./scripts.ts";
import type { KeySpace } from "./key-space.ts";
import type { Job } from "../../jobs/job.ts";
import type { DeliveryOutcome } from "../job-store.ts";

/** Number of simultaneous deliveries. A receiver that does not answer does not delay the others. */
const MAX_CONCURRENT = 20;
/** Number of stored deliveries of one webhook: the last ones */
const MAX_STORED = 50;

/** Delivers webhooks until the signal is aborted. Repeats a delivery that a dead server had begun. */
export async function deliverWebhooks(
  {
    keySpace,
    address,
    times,
    signal,
  }: { keySpace: KeySpace; address: RedisAddress; times: LeaseTimes; signal: AbortSignal },
  send: (job: Job) => Promise<DeliveryOutcome>,
): Promise<void> {
  const client = patientClient(address);
  const worker = new Worker(
    keySpace.hooks.name,
    async (entry, token) => {
      const id = entry.id ?? "";
      const job = await keySpace.job(id);
      if (job?.webhook?.nextAt === undefined) return; // removed, or delivered
      const { delivery, again } = await send(job);
      const { url, deliveries } = job.webhook;
      const webhook = JSON.stringify({ url, deliveries: [...deliveries, delivery].slice(-MAX_STORED) });
      const next = again === undefined ? undefined : Date.now() + again;
      await keySpace.run(DELIVERED, id, webhook, next ?? "");
      if (next === undefined) return;
      await entry.moveToDelayed(next, token);
      throw new DelayedError();
    },
    {
      connection: client,
      prefix: keySpace.key("bull"),
      skipVersionCheck: keySpace.skipsCheck,
      concurrency: MAX_CONCURRENT,
      lockDuration: times.lease,
      stalledInterval: times.look,
      maxStalledCount: Number.MAX_SAFE_INTEGER,
      runRetryDelay: 1000,
      // Upkeep queues it again, unless it is delivered.
      removeOnFail: { count: 0 },
      removeOnComplete: { count: 0 },
    },
  );
  worker.on("error", () => {}); // errors of the connection, which is retried
  try {
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  } finally {
    await worker.close(true).catch(() => {});
    client.disconnect();
  }
}
