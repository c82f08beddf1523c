import type { Delivery, Job } from "../../jobs/job.ts";
import type { JobView } from "./schemas.ts";

export const BUILDS = "/api/v2/builds";

/** Returns the v2 view of a job: times in RFC 3339, seconds instead of ms. */
export function jobView(job: Job, { position }: { position?: number | undefined } = {}): JobView {
  const { id, order, source, reason, limits } = { ...job, limits: job.order.limits };
  const self = `${BUILDS}/${id}`;
  return {
    id,
    name: job.name,
    fullName: job.fullName,
    owner: job.owner,
    state: job.state,
    ...given("reason", reason && withoutUndefined(reason)),
    ...given("position", position),
    attempts: job.attempts,
    source,
    file: order.file,
    strip: order.strip,
    ...given("target", order.target),
    ...given("platform", order.platform),
    buildArgs: { ...order.buildArgs },
    labels: { ...order.labels },
    noCache: order.noCache,
    pull: order.pull,
    push: order.push,
    purge: order.purge,
    limits: {
      ...given("memory", limits.memory),
      ...given("cpus", limits.cpus),
      ...given("seconds", limits.time === undefined ? undefined : limits.time / 1000),
      ...given("network", limits.network),
    },
    hasCredentials: job.hasCredentials,
    ...given("retryOf", job.retryOf),
    ...given("imageId", job.imageId),
    ...given("digest", job.digest),
    ...given("size", job.size),
    ...given("contextBytes", job.contextBytes),
    seconds: Object.fromEntries(Object.entries(job.phases).map(([phase, ms]) => [phase, ms / 1000])),
    acceptedAt: rfc3339(job.acceptedAt),
    ...given("startedAt", job.startedAt === undefined ? undefined : rfc3339(job.startedAt)),
    ...given("finishedAt", job.finishedAt === undefined ? undefined : rfc3339(job.finishedAt)),
    ...given("cancelledAt", job.cancelledAt === undefined ? undefined : rfc3339(job.cancelledAt)),
    ...given("worker", job.worker),
    ...given("engine", job.engine),
    ...given("webhook", job.webhook?.url),
    log: job.log,
    links: {
      self,
      logs: `${self}/logs`,
      cancel: `${self}/cancel`,
      retry: `${self}/retry`,
      deliveries: `${self}/deliveries`,
      ...given("retryOf", job.retryOf === undefined ? undefined : `${BUILDS}/${job.retryOf}`),
    },
  };
}

export function deliveryView({ at, status, error, ms }: Delivery): {
  at: string;
  status?: number;
  error?: string;
  seconds: number;
} {
  return { at: rfc3339(at), ...given("status", status), ...given("error", error), seconds: ms / 1000 };
}

export function rfc3339(ms: number): string {
  return new Date(ms).toISOString();
}

function given<Name extends string, Value>(name: Name, value: Value | undefined): { [name in Name]?: Value } {
  return value === undefined ? {} : ({ [name]: value } as { [name in Name]?: Value });
}

function withoutUndefined({
  code,
  message,
  expected,
  hint,
}: NonNullable<Job["reason"]>): NonNullable<JobView["reason"]> {
  return { code, message, ...given("expected", expected), ...given("hint", hint) };
}
