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
  /** Webhooks are sent only to public addresses, like requests for archives */
  network: Network;
  /** Returns the body before its conversion to JSON: the job as the API shows it. It contains no secret. */
  view: (job: Job) => object;
  /** Ends an attempt when the server stops; the attempt counts as failed. */
  signal?: AbortSignal | undefined;
  /** Maximum ms of one attempt */
  timeout?: number;
  /** Returns a number from 0 to 1, the jitter that is added to the times between attempts */
  random?: () => number;
}

const ATTEMPT_TIMEOUT = 10_000;
const SECOND = 1_000;
const MINUTE = 60 * SECOND;
/** ms to wait after the first attempt, the second, and so on. One more attempt follows the last wait. */
const WAITS = [5 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE, 60 * MINUTE];
/**
 * Maximum part of a wait that is added to it: a receiver that was unavailable does not get all waiting webhooks at one
 * moment.
 */
const JITTER = 0.2;
/**
 * Maximum bytes of a response that are read, so that the receiver does not see a broken connection. They are discarded.
 */
const MAX_ANSWER = 64 * 1024;

/**
 * Returns the function for {@link JobStore.workWebhooks}: it notifies the receiver that a job is over. A status of 2xx
 * is success. After 410, or if the address is refused, there are no more attempts. Any other result is retried,
 * including redirects: they are not followed, because the body is only for the receiver that the client has named.
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
  { key, network, view, signal, timeout = ATTEMPT_TIMEOUT }: WebhookOptions,
): Promise<{ isFinal: boolean; delivery: Delivery }> {
  const at = Date.now();
  const begin = performance.now();
  const took = (): number => Math.round(performance.now() - begin);
  using limit = deadline(timeout, signal);
  try {
    const body = Buffer.from(JSON.stringify(view(job)));
    // A job ends once: the message's ID contains the job's ID, and is the same for each attempt.
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

/** Reads and ignores the body: only the status counts, even if the response does not end. */
async function discard(response: IncomingMessage): Promise<void> {
  let left = MAX_ANSWER;
  try {
    for await (const chunk of response) {
      left -= (chunk as Buffer).length;
      if (left < 0) break;
    }
  } catch {
    // the receiver has closed the connection, or the time is up
  } finally {
    response.destroy();
  }
}
