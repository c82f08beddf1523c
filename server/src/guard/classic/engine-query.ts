import type { BuildRequest } from "../build-request.ts";
import { LABEL_PREFIX, TENANT_LABEL } from "../images/reserved.ts";
import { readUlimit, stepLimits } from "../policy/build-limits.ts";
import type { Tenant } from "../tenant.ts";

export interface QueryValues {
  /** The name of the Dockerfile in the rewritten context */
  dockerfile: string;
  cgroupParent: string | undefined;
  /** IDs of the tenant's own images */
  cacheFrom: readonly string[];
}

/**
 * Returns the query of `POST /build` to the engine. It has no names and no target: the guard names the image after it has recorded it as the tenant's, and the
 * rewritten Dockerfile lacks the stages after the target. Throws a Refusal for limits above the tenant's.
 */
export function engineQuery(
  tenant: Tenant,
  request: BuildRequest,
  values: QueryValues,
): [key: string, value: string][] {
  const { memory, memorySwap, cpuPeriod, cpuQuota, ulimits } = stepLimits(tenant, request);
  const sharesCache = tenant.policy.sharesCache && request.cacheFrom.length === 0;
  // Without a list of images, an engine uses the steps of all builds as its cache.
  const hasNoCache = request.noCache || (values.cacheFrom.length === 0 && !sharesCache);
  const optional: Record<string, string | number | undefined> = {
    cgroupparent: values.cgroupParent,
    platform: request.platform,
    memory,
    memswap: memorySwap,
    cpushares: request.cpuShares,
    cpuperiod: cpuPeriod,
    cpuquota: cpuQuota,
    cpusetcpus: request.cpusetCpus,
    shmsize: request.shmSize,
    nocache: hasNoCache ? 1 : undefined,
    cachefrom: hasNoCache || sharesCache ? undefined : JSON.stringify(values.cacheFrom),
    ulimits: ulimits.length === 0 ? undefined : JSON.stringify(ulimits.map(engineUlimit)),
  };
  return [
    ["version", "1"],
    ["dockerfile", values.dockerfile],
    ["buildargs", JSON.stringify(request.buildArgs)],
    ["labels", JSON.stringify(Object.fromEntries(imageLabels(tenant, request)))],
    ["networkmode", tenant.policy.hasNetwork ? request.network : "none"],
    // Removes the containers, whether the build succeeds or fails.
    ["rm", "1"],
    ["forcerm", "1"],
    ...request.extraHosts.map((host): [string, string] => ["extrahosts", host]),
    ...Object.entries(optional).flatMap(([key, value]): [string, string][] =>
      value === undefined ? [] : [[key, String(value)]],
    ),
  ];
}

/** Returns the labels of the image in the order in which the engine sets them. The operator's and the guard's own replace those of the request. */
export function imageLabels(tenant: Tenant, { labels }: BuildRequest): [key: string, value: string][] {
  const operators = Object.entries(tenant.labels).filter(([key]) => !key.startsWith(LABEL_PREFIX));
  const all = new Map([...Object.entries(labels), ...operators, [TENANT_LABEL, tenant.id] as const]);
  return [...all].toSorted(([one], [other]) => Buffer.compare(Buffer.from(one), Buffer.from(other)));
}

function engineUlimit(ulimit: string): { Name: string; Soft: number; Hard: number } {
  const [name, { soft, hard }] = readUlimit(ulimit);
  return { Name: name, Soft: soft, Hard: hard };
}
