import type { IncomingMessage } from "node:http";
import { deadline, Failure, messageOf } from "docker-over-ssh/builds";
import type { Delivery, Job } from "../jobs/job.ts";
import { checkedRequest } from "../net/checked-request.ts";
import type { Network } from "../net/network.ts";
import type { DeliveryOutcome } from "../store/job-store.ts";
import { signedHeaders } from "./sign.ts";

export interface WebhookOptions {
  /** From {@link readWebhookSecret} */
  key: Buffer;
  /** Webhooks go to public addresses alone, as archives come from these alone */
  network: Network;
  /** Returns the body, before it is made JSON: the job as the API shows it. Nothing in it is secret. */
  view: (job: Job) => object;
  /** Ends an attempt when the server stops: it counts as one that has failed. */
  signal?: AbortSignal | undefined;
  /** ms for one attempt */
  timeout?: number;
  /** From 0 to 1: what is added to the times between attempts */
  random?: () => number;
}

const TIMEOUT = 10_000;
const SECOND = 1_000;
const MINUTE = 60 * SECOND;
/** ms to wait after the first attempt, the second, and so on. There is one more attempt than times. */
const WAITS = [5 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE, 60 * MINUTE];
/** Part of a wait that is added at most: the receiver of many webhooks that was away does not get all of them at one moment. */
const JITTER = 0.2;
/** Bytes of an answer that are read, so that the receiver does not see its connection break. They are not kept. */
const MAX_ANSWER = 64 * 1024;

/**
 * Returns the function for {@link JobStore.workWebhooks}: it tells the receiver that a job is over. A status of 2xx is success; after 410, and after
 * an address that is refused, it is over as well. Anything else is tried again, redirects included: they are not followed, because the receiver that
 * the client has named is the one to get the body.
 */
export function webhookSender(options: WebhookOptions): (job: Job) => Promise<DeliveryOutcome> {
  const { random = Math.random } = options;
  return async (job) => {
    if (job.webhook === undefined) throw new Error(`the job ${job.id} has no webhook`);
    const { isFinal, delivery } = await attempt(job, job.webhook.url, options);
    const wait = isFinal ? undefined : WAITS[job.webhook.deliveries.length];
    return { delivery, ...(wait !== undefined && { again: Math.round(wait * (1 + JITTER * random())) }) };
  };
}

async function attempt(
  job: Job,
  url: string,
  { key, network, view, signal, timeout = TIMEOUT }: WebhookOptions,
): Promise<{ isFinal: boolean; delivery: Delivery }> {
  const at = Date.now();
  const begin = performance.now();
  const took = (): number => Math.round(performance.now() - begin);
  using limit = deadline(timeout, signal);
  try {
    const body = Buffer.from(JSON.stringify(view(job)));
    // A job is over once: its ID is that of the message, and the same for each attempt.
    const headers = { "content-type": "application/json", ...signedHeaders(key, `msg_${job.id}`, at, body) };
    const request = { method: "POST", headers, body, redirects: 0 } as const;
    const { response } = await checkedRequest(url, request, network, limit.signal);
    const { statusCode: status = 0 } = response;
    await discard(response);
    return { isFinal: (status >= 200 && status < 300) || status === 410, delivery: { at, status, ms: took() } };
  } catch (error) {
    const isFinal = error instanceof Failure && (error.code === "refused" || error.code === "usage");
    return { isFinal, delivery: { at, error: limit.isOver ? "no answer in time" : messageOf(error), ms: took() } };
  }
}

/** The status is what counts: an answer that does not end is one nevertheless. */
async function discard(response: IncomingMessage): Promise<void> {
  let left = MAX_ANSWER;
  try {
    for await (const chunk of response) {
      left -= (chunk as Buffer).length;
      if (left < 0) break;
    }
  } catch {
    // The receiver has broken it off, or the time is up.
  } finally {
    response.destroy();
  }
}
