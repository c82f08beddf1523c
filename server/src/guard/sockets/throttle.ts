import { setTimeout as sleep } from "node:timers/promises";
import type { Quotas } from "../policy/policy.ts";
import { Refusal } from "../refusal.ts";

/** Limits a tenant's requests per second. */
export interface Throttle {
  /**
   * Called before each request and each gRPC call. A tenant that is slightly too fast waits; one that is much too fast
   * gets a Refusal `quota.requests` (429), which does not count as a request. Rejects with the reason of the signal if
   * it is aborted during the wait.
   */
  take(signal?: AbortSignal): Promise<void>;
}

/** The size of a burst, in ms at the average rate: a build with buildx makes some fifty calls within a moment */
const BURST = 10_000;
/** The maximum wait of a request, in ms */
const MAX_WAIT = 5_000;

/**
 * A token bucket, stored as the time at which the bucket would be full again.
 *
 * @param quotas called for each request, because quotas change with the configuration
 * @param now returns ms of a monotonic clock
 */
export function createThrottle(
  quotas: () => Pick<Quotas, "requests">,
  { now = () => performance.now() }: { now?: () => number } = {},
): Throttle {
  let full = Number.NEGATIVE_INFINITY;
  return {
    async take(signal) {
      const each = 1000 / Math.max(quotas().requests, 0.001);
      const time = now();
      const next = Math.max(full, time) + each;
      const wait = next - time - Math.max(BURST, each);
      if (wait > MAX_WAIT) {
        throw new Refusal(
          "quota.requests",
          `too many requests: this tenant may make at most ${quotas().requests} per second on average`,
          { statusCode: 429, retryAfter: Math.ceil((wait - MAX_WAIT) / 1000) },
        );
      }
      full = next;
      if (wait > 0)
        await sleep(wait, undefined, { ref: false, ...(signal && { signal }) }).catch(() => signal?.throwIfAborted());
    },
  };
}
