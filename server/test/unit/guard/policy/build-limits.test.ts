import { describe, expect, test } from "vitest";
import type { BuildRequest } from "../../../../src/guard/build-request.ts";
import { stepLimits } from "../../../../src/guard/policy/build-limits.ts";
import type { Resources } from "../../../../src/guard/policy/policy.ts";
import { PLAIN_BUILD } from "../../../fixtures/guard/plain-build.ts";

const LIMITED: Resources = { memory: 1000, cpus: 0.5, ulimits: ["nofile=10:20", "core=0", "nproc=-1"] };

const limits = (request: Partial<BuildRequest>, resources = LIMITED) =>
  stepLimits({ resources }, { ...PLAIN_BUILD, ...request });

describe("a step gets", () => {
  test.each<[string, Partial<BuildRequest>, object]>([
    ["the tenant's limits", {}, { memory: 1000, memorySwap: 1000, cpuPeriod: 100_000, cpuQuota: 50_000 }],
    ["less memory, without swap", { memory: 500 }, { memory: 500, memorySwap: 500 }],
    ["swap within its memory limit", { memory: 500, memorySwap: 1000 }, { memory: 500, memorySwap: 1000 }],
    ["a share of another period", { cpuPeriod: 10_000 }, { cpuPeriod: 10_000, cpuQuota: 5000 }],
    ["all of its quota", { cpuQuota: 50_000 }, { cpuQuota: 50_000 }],
    ["a lower ulimit", { ulimits: ["nofile=20:20"] }, { ulimits: ["nofile=20:20", "core=0:0", "nproc=-1:-1"] }],
    ["one without a limit", { ulimits: ["nproc=-1"] }, { ulimits: ["nofile=10:20", "core=0:0", "nproc=-1:-1"] }],
    ["another ulimit", { ulimits: ["fsize=9"] }, { ulimits: ["nofile=10:20", "core=0:0", "nproc=-1:-1", "fsize=9:9"] }],
  ])("%s", (_, request, found) => expect(limits(request)).toMatchObject(found));

  test("the requested limits, if the tenant has none", () => {
    const requested = { memory: 5, memorySwap: -1, cpuQuota: 7, ulimits: ["nofile=9:9"] };
    expect(limits(requested, { ulimits: [] })).toEqual({ ...requested, cpuPeriod: undefined });
  });

  test.each<[rule: string, request: Partial<BuildRequest>]>([
    ["build.memory", { memory: 1001 }],
    ["build.memory", { shmSize: 1001 }],
    ["build.memory", { memorySwap: -1 }],
    ["build.memory", { memorySwap: 1001 }],
    ["build.cpus", { cpuPeriod: 999 }],
    ["build.cpus", { cpuPeriod: 1_000_001 }],
    ["build.cpus", { cpuQuota: 50_001 }],
    ["build.cpus", { cpuPeriod: 10_000, cpuQuota: 5001 }],
    // The kernel's minimum quota is all of such a period.
    ["build.cpus", { cpuPeriod: 1000 }],
    ["build.cpus", { cpuShares: 1025 }],
    ["build.ulimits", { ulimits: ["nofile=21:20"] }],
    ["build.ulimits", { ulimits: ["nofile=10:21"] }],
    ["build.ulimits", { ulimits: ["nofile=10:-1"] }],
    ["build.ulimits", { ulimits: ["nofile=-1:10"] }],
    ["build.ulimits", { ulimits: ["core=1"] }],
  ])("%s refuses %j", (rule, request) => {
    expect(() => limits(request)).toThrow(expect.objectContaining({ rule }));
  });
});
