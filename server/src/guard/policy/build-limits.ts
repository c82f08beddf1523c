import { CPU_PERIOD, MIN_CPU_QUOTA } from "docker-over-ssh/builds";
import type { BuildRequest } from "../build-request.ts";
import { Refusal } from "../refusal.ts";
import type { Resources } from "./policy.ts";

/** The range that the kernel accepts, in µs */
const CPU_PERIODS = { min: 1000, max: 1_000_000 };
/** A container's default. A higher value would take time from others. */
const CPU_SHARES = 1024;
/** Ulimits that can give a process more CPU time than others: CPU quotas do not apply to real-time processes. */
const PRIORITIES: ReadonlySet<string> = new Set(["nice", "rtprio", "rttime"]);

/**
 * Limits of steps: those that the request sets within the tenant's limits, and the tenant's limits otherwise. Sizes are
 * bytes.
 */
export interface StepLimits {
  memory: number | undefined;
  /** Memory and swap; -1: no limit */
  memorySwap: number | undefined;
  cpuPeriod: number | undefined;
  cpuQuota: number | undefined;
  /** e.g. `nofile=1024:2048` */
  ulimits: readonly string[];
}

/** Refuses a choice of memory nodes. Throws a Refusal `build.cpusetmems`. */
export function refuseNodes(nodes: string): void {
  if (nodes === "") return;
  throw new Refusal(
    "build.cpusetmems",
    `cpusetmems ${JSON.stringify(nodes)} is not allowed: the guard sets the limits of steps`,
  );
}

/** Refuses a ulimit that only the operator may set. Throws a Refusal `build.ulimits`. */
export function refusePriorityUlimit(name: string): void {
  if (PRIORITIES.has(name)) throw new Refusal("build.ulimits", `builds may not set the ulimit ${name}`);
}

/** The limits of memory and processors that a build requests, with any builder. */
export type RequestedLimits = Pick<
  BuildRequest,
  "memory" | "memorySwap" | "shmSize" | "cpuShares" | "cpuPeriod" | "cpuQuota"
>;

/**
 * Checks the requested limits for a builder that receives them unchanged: the cgroup enforces the tenant's limits.
 *
 * @throws Refusal `build.memory` or `build.cpus` for values above the tenant's limits
 */
export function refuseBeyond(resources: Resources, requested: RequestedLimits): void {
  refuseShares(requested);
  memoryLimits(resources.memory, requested);
  cpuLimits(resources.cpus, requested);
}

/** Throws a Refusal `build.memory`, `build.cpus`, `build.ulimits` for values above the tenant's limits. */
export function stepLimits({ resources }: { resources: Resources }, request: BuildRequest): StepLimits {
  refuseShares(request);
  return {
    ...memoryLimits(resources.memory, request),
    ...cpuLimits(resources.cpus, request),
    ulimits: ulimits(resources.ulimits, request),
  };
}

function memoryLimits(allowed: number | undefined, { memory: requested, memorySwap, shmSize }: RequestedLimits) {
  const memory = requested ?? allowed;
  if (allowed === undefined) return { memory, memorySwap };
  if ((requested ?? 0) > allowed || (shmSize ?? 0) > allowed) {
    throw new Refusal("build.memory", `a build may have at most ${allowed} bytes of memory`);
  }
  // Swap would be memory beyond the limit.
  if (memorySwap !== undefined && (memorySwap === -1 || memorySwap > allowed)) {
    throw new Refusal("build.memory", `a build may have at most ${allowed} bytes of memory and swap together`);
  }
  return { memory, memorySwap: memorySwap ?? memory };
}

function cpuLimits(allowed: number | undefined, { cpuPeriod, cpuQuota }: RequestedLimits) {
  if (cpuPeriod !== undefined && (cpuPeriod < CPU_PERIODS.min || cpuPeriod > CPU_PERIODS.max)) {
    throw new Refusal("build.cpus", `cpuperiod must be from ${CPU_PERIODS.min} to ${CPU_PERIODS.max}`, {
      statusCode: 400,
    });
  }
  if (allowed === undefined) return { cpuPeriod, cpuQuota };
  const period = cpuPeriod ?? CPU_PERIOD;
  const most = Math.max(MIN_CPU_QUOTA, Math.floor(allowed * period));
  if ((cpuQuota ?? 0) > most) throw new Refusal("build.cpus", `a build may have at most ${allowed} processors`);
  if (cpuPeriod !== undefined && allowed * cpuPeriod < MIN_CPU_QUOTA) {
    throw new Refusal("build.cpus", `a build with ${allowed} processors needs a longer cpuperiod`);
  }
  return { cpuPeriod: period, cpuQuota: cpuQuota ?? most };
}

function refuseShares({ cpuShares }: RequestedLimits): void {
  if ((cpuShares ?? 0) <= CPU_SHARES) return;
  throw new Refusal("build.cpus", `a build may have at most ${CPU_SHARES} CPU shares`);
}

function ulimits(allowed: readonly string[], { ulimits: requested }: BuildRequest): string[] {
  const most = new Map(allowed.map(readUlimit));
  for (const [name, { soft, hard }] of requested.map(readUlimit)) {
    const limit = most.get(name);
    if (limit !== undefined && (beyond(soft, limit.hard) || beyond(hard, limit.hard))) {
      throw new Refusal("build.ulimits", `a build may have at most ${name}=${limit.hard}`);
    }
    most.set(name, { soft, hard });
  }
  return [...most].map(([name, { soft, hard }]) => `${name}=${soft}:${hard}`);
}

/** -1 means no limit. */
function beyond(requested: number, limit: number): boolean {
  return limit !== -1 && (requested === -1 || requested > limit);
}

/** Parses `nofile=1024:2048`, or `nofile=1024`. */
export function readUlimit(ulimit: string): [name: string, limit: { soft: number; hard: number }] {
  const [name = "", values = ""] = ulimit.split("=");
  const [soft = 0, hard = soft] = values.split(":").map(Number);
  return [name, { soft, hard }];
}
