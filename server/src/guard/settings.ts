import type { Policy, Quotas, Resources } from "./policy/policy.ts";

/** How the guard works: the options of `guard`, read and checked. Sizes are bytes, times ms. */
export interface GuardSettings {
  /** The host's engine, or buildah with a storage for each tenant */
  mode: "passthrough" | "buildah";
  /** As for -H; undefined: the engine that the docker command would use */
  engine?: string | undefined;
  /** The folder of the ledger, and of buildah's storages */
  data: string;
  /** Settings of tenants that the configuration does not override */
  defaults: TenantDefaults;
  sources: TenantSources;
  /** Where lines of audit go: a file, or stderr */
  auditFile?: string | undefined;
  /** Where metrics are served */
  metrics?: { host: string; port: number } | undefined;
  /** Requests reach the engine as they come; lines of audit say what would be refused. */
  isDryRun: boolean;
}

export interface TenantDefaults {
  policy: Policy;
  resources: Resources;
  quotas: Quotas;
  registryConfig?: string | undefined;
}

/** Where tenants come from. Several may be used at the same time. */
export interface TenantSources {
  /** --bind-local: the tenant `local`, whose socket's folder is made */
  bindLocal?: ListedTenant | undefined;
  /** --tenant */
  listed: readonly ListedTenant[];
  /** --config: read again on SIGHUP */
  configFile?: string | undefined;
  /** --kubernetes: pods whose containers the engine runs */
  usesEnginePods: boolean;
  /** --kubelet-dir: with `usesEnginePods`, only where the emptyDirs of these pods are */
  kubelet?: { folder: string; volume: string } | undefined;
}

/** A tenant of the command line, or of the configuration. What it leaves out comes from the defaults. */
export interface ListedTenant {
  id: string;
  socket: string;
  labels?: Readonly<Record<string, string>> | undefined;
  policy?: Partial<Policy> | undefined;
  resources?: Partial<Resources> | undefined;
  quotas?: Partial<Quotas> | undefined;
  registryConfig?: string | undefined;
}
