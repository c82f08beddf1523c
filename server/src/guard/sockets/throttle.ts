import { setTimeout as sleep } from "node:timers/promises";
import type { Quotas } from "../policy/policy.ts";
import { Refusal } from "../refusal.ts";

/** Keeps a tenant to the requests per second that it may make. */
export interface Throttle {
  /**
   * Called before each request and each gRPC call. A tenant that is slightly too fast waits; one that is much too fast gets a Refusal
   * `quota.requests` (429), which does not count as a request. Rejects with the reason of a signal that is aborted while it waits.
   */
  take(signal?: AbortSignal): Promise<void>;
}

/** The size of a burst, in ms at the average rate: a build of buildx makes some fifty calls within a moment */
const BURST = 10_000;
/** The longest that a request waits, ms */
const PATIENCE = 5_000;

/**
 * A token bucket, kept as the time at which the bucket would be full again.
 *
 * @param quotas read for each request: quotas change with the configuration
 * @param now ms of a clock that only goes forwards
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
      if (wait > PATIENCE) {
        throw new Refusal(
          "quota.requests",
          `too many requests: this tenant may make ${quotas().requests} per second on average`,
          { statusCode: 429, retryAfter: Math.ceil((wait - PATIENCE) / 1000) },
        );
      }
      full = next;
      if (wait > 0)
        await sleep(wait, undefined, { ref: false, ...(signal && { signal }) }).catch(() => signal?.throwIfAborted());
    },
  };
}
