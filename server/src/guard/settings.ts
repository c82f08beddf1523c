import type { Policy, Quotas, Resources } from "./policy/policy.ts";

/** The settings of the guard: the options of `guard`, parsed and validated. Sizes are bytes, times ms. */
export interface GuardSettings {
  /** The host's engine, or buildah with a storage for each tenant */
  mode: "passthrough" | "buildah";
  /** In the format of -H; undefined: the engine that the docker command would use */
  engine?: string | undefined;
  /** The folder of the ledger, and of buildah's storages */
  data: string;
  /** Default settings of tenants, which the configuration may override */
  defaults: TenantDefaults;
  sources: TenantSources;
  /** The destination of audit lines. Default: stderr */
  auditFile?: string | undefined;
  /** The address of the metrics */
  metrics?: { host: string; port: number } | undefined;
  /** Whether requests reach the engine unchanged. Audit lines show which the guard would refuse. */
  isDryRun: boolean;
}

export interface TenantDefaults {
  policy: Policy;
  resources: Resources;
  quotas: Quotas;
  registryConfig?: string | undefined;
}

/** The sources of tenants. Several may be used at the same time. */
export interface TenantSources {
  /** --bind-local: the tenant `local`. The guard creates the folder of its socket */
  bindLocal?: ListedTenant | undefined;
  /** --tenant */
  listed: readonly ListedTenant[];
  /** --config: read again on SIGHUP */
  configFile?: string | undefined;
  /** --kubernetes: pods whose containers the engine runs */
  usesEnginePods: boolean;
  /** --kubelet-dir. With `usesEnginePods`, it only sets the location of these pods' emptyDirs */
  kubelet?: { folder: string; volume: string } | undefined;
}

/** A tenant of the command line, or of the configuration. Missing settings are those of the defaults. */
export interface ListedTenant {
  id: string;
  socket: string;
  labels?: Readonly<Record<string, string>> | undefined;
  policy?: Partial<Policy> | undefined;
  resources?: Partial<Resources> | undefined;
  quotas?: Partial<Quotas> | undefined;
  registryConfig?: string | undefined;
}
