import { resolve } from "node:path";
import type { OptionDefinition } from "docker-over-ssh/builds";
import { parseImagePattern } from "../policy/patterns.ts";
import type { Policy, Quotas, Resources } from "../policy/policy.ts";
import type { ListedTenant, TenantDefaults } from "../settings.ts";
import {
  countFrom,
  parseBytes,
  parseCgroupParent,
  parseCpus,
  parseMemory,
  parseMinutes,
  parseNetwork,
  parseSource,
  parseUlimit,
} from "./term-values.ts";

/**
 * The permissions and limits of a tenant, as options and as keys of the configuration: `--allow-base`, `allowBase`.
 * Sizes are bytes, times ms.
 */
export interface Terms {
  allowBase?: readonly string[] | undefined;
  allowPull?: readonly string[] | undefined;
  allowPush?: readonly string[] | undefined;
  allowSource?: readonly string[] | undefined;
  registryConfig?: string | undefined;
  shareCache?: boolean | undefined;
  network?: "default" | "none" | undefined;
  cgroupParent?: string | undefined;
  memory?: number | undefined;
  cpus?: number | undefined;
  pids?: number | undefined;
  ulimit?: readonly string[] | undefined;
  maxImages?: number | undefined;
  maxBytes?: number | undefined;
  maxBuilds?: number | undefined;
  maxBuildMinutes?: number | undefined;
  maxPush?: number | undefined;
  maxContext?: number | undefined;
  maxConnections?: number | undefined;
  maxRequests?: number | undefined;
}

const BILLION = 1_000_000_000;

/** The options that make up {@link Terms}. On the command line, they apply to all tenants that do not override them. */
export const TERMS: readonly OptionDefinition[] = [
  {
    flags: "--allow-base <pattern>",
    description:
      "a base that FROM may name in addition to the tenant's own images, e.g. 'alpine:3.*'; taken from the host's images if present; only repositories to which no tenant can push; may be repeated",
    parse: parseImagePattern,
    repeats: true,
  },
  {
    flags: "--allow-pull <pattern>",
    description:
      "a base that FROM may name, always pulled from its registry, with the credentials of --registry-config or the tenant's (BuildKit: the tenant's alone); only repositories to which no tenant can push; may be repeated",
    parse: parseImagePattern,
    repeats: true,
  },
  {
    flags: "--allow-push <pattern>",
    description: "names that may be pushed, e.g. 'registry.example.com/team/*'; may be repeated (default: none)",
    parse: parseImagePattern,
    repeats: true,
  },
  {
    flags: "--allow-source <prefix>",
    description:
      "a prefix of addresses that ADD and git contexts may name, e.g. https://github.com/example/; may be repeated",
    parse: parseSource,
    repeats: true,
  },
  {
    flags: "--registry-config <file>",
    description: "a docker config.json with credentials for registries, which tenants use but cannot see",
  },
  { flags: "--share-cache", description: "share cache records with the builds of other tenants" },
  {
    flags: "--network <mode>",
    description: "the network of RUN: default or none (default: default)",
    parse: parseNetwork,
  },
  {
    flags: "--cgroup-parent <cgroup>",
    description:
      "the cgroup under which steps run: /PATH, or NAME.slice (default: the pod's, or one that the guard creates)",
    parse: parseCgroupParent,
  },
  { flags: "--memory <size>", description: "memory of a tenant's builds, e.g. 2g", parse: parseMemory },
  { flags: "--cpus <number>", description: "processors of a tenant's builds, e.g. 1.5", parse: parseCpus },
  { flags: "--pids <count>", description: "processes of a tenant's builds", parse: countFrom(1, 4_194_304) },
  {
    flags: "--ulimit <limit>",
    description: "a limit of each process, e.g. nofile=1024:2048; may be repeated",
    parse: parseUlimit,
    repeats: true,
  },
  { flags: "--max-images <count>", description: "maximum number of a tenant's images", parse: countFrom(0, BILLION) },
  {
    flags: "--max-bytes <size>",
    description: "maximum size of a tenant's images, as the engine counts it",
    parse: parseBytes,
  },
  {
    flags: "--max-builds <count>",
    description: "maximum number of a tenant's simultaneous builds (default: 4)",
    parse: countFrom(0, 10_000),
  },
  {
    flags: "--max-build-minutes <minutes>",
    description: "maximum time of a tenant's builds in 24 hours; a build that exceeds it is ended",
    parse: parseMinutes,
  },
  { flags: "--max-push <size>", description: "maximum bytes that a tenant pushes in 24 hours", parse: parseBytes },
  { flags: "--max-context <size>", description: "maximum size of one build context (default: 2g)", parse: parseBytes },
  {
    flags: "--max-connections <count>",
    description: "maximum number of a tenant's open connections (default: 256)",
    parse: countFrom(1, 100_000),
  },
  {
    flags: "--max-requests <count>",
    description: "maximum number of a tenant's requests and gRPC calls per second (default: 50)",
    parse: countFrom(1, 100_000),
  },
];

/** Returns the key of an option: `allowBase` for `--allow-base <pattern>`. */
export function keyOf({ flags }: OptionDefinition): string {
  const [, name = ""] = /--([a-z-]+)/.exec(flags) ?? [];
  return name.replaceAll(/-([a-z])/g, (_whole, letter: string) => letter.toUpperCase());
}

/** Returns only the settings that the terms contain. */
export function overridesOf(terms: Terms): Omit<ListedTenant, "id" | "socket" | "labels"> {
  const { allowBase, allowPull, allowPush, allowSource, shareCache, network } = terms;
  const { cgroupParent, memory, cpus, pids, ulimit, registryConfig } = terms;
  const { maxImages, maxBytes, maxBuilds, maxBuildMinutes, maxPush, maxContext, maxConnections, maxRequests } = terms;
  return {
    policy: withoutGaps<Policy>({
      bases: allowBase,
      pulls: allowPull,
      pushes: allowPush,
      sources: allowSource,
      sharesCache: shareCache,
      hasNetwork: network && network !== "none",
    }),
    resources: withoutGaps<Resources>({ cgroupParent, memory, cpus, pids, ulimits: ulimit }),
    quotas: withoutGaps<Quotas>({
      images: maxImages,
      bytes: maxBytes,
      builds: maxBuilds,
      buildTime: maxBuildMinutes,
      pushBytes: maxPush,
      context: maxContext,
      connections: maxConnections,
      requests: maxRequests,
    }),
    ...(registryConfig !== undefined && { registryConfig: resolve(registryConfig) }),
  };
}

const BUILT_IN: TenantDefaults = {
  policy: { bases: [], pulls: [], pushes: [], sources: [], sharesCache: false, hasNetwork: true },
  resources: { ulimits: [] },
  quotas: { builds: 4, context: 2 * 1024 ** 3, connections: 256, requests: 50 },
};

/** Returns the settings of tenants that override nothing. */
export function defaultsOf(terms: Terms): TenantDefaults {
  const { policy, resources, quotas, registryConfig } = overridesOf(terms);
  return {
    policy: { ...BUILT_IN.policy, ...policy },
    resources: { ...BUILT_IN.resources, ...resources },
    quotas: { ...BUILT_IN.quotas, ...quotas },
    ...(registryConfig !== undefined && { registryConfig }),
  };
}

/** Removes undefined properties, which would hide a default. */
function withoutGaps<T extends object>(values: { [Key in keyof T]?: T[Key] | undefined }): Partial<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<T>;
}
