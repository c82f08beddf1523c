// `npm run docs` generates docs/guard.schema.json from these types.

/** Sizes are bytes, or a text like "500m". */
export interface GuardConfig {
  /** For an editor; ignored by the guard */
  $schema?: string;
  /** Settings for the tenants of this file. The command line provides settings that are missing in this file. */
  defaults?: TermsConfig;
  tenants?: TenantConfig[];
}

export interface TenantConfig extends TermsConfig {
  /** Lower-case letters, digits and single hyphens, at most 63 */
  name: string;
  /** The absolute path of the tenant's socket, at most 107 bytes */
  socket: string;
  /** Labels of the images that the tenant builds */
  labels?: { [key: string]: string };
}

/** The options of the same names. */
export interface TermsConfig {
  /** Patterns of bases that FROM may name, taken from the host's images */
  allowBase?: string[];
  /** Patterns of bases that FROM may name, always pulled from their registry */
  allowPull?: string[];
  /** Patterns of names that may be pushed */
  allowPush?: string[];
  /** Prefixes of addresses that ADD and git contexts may name */
  allowSource?: string[];
  /** A docker config.json, relative to this file */
  registryConfig?: string;
  shareCache?: boolean;
  network?: "default" | "none";
  /** `/PATH` or `NAME.slice` */
  cgroupParent?: string;
  memory?: number | string;
  /** Processors, e.g. 1.5 */
  cpus?: number;
  pids?: number;
  /** e.g. `nofile=1024:2048` */
  ulimit?: string[];
  maxImages?: number;
  maxBytes?: number | string;
  /** Number of simultaneous builds */
  maxBuilds?: number;
  /** Minutes in 24 hours */
  maxBuildMinutes?: number;
  /** Bytes in 24 hours */
  maxPush?: number | string;
  /** Bytes of one build context */
  maxContext?: number | string;
  maxConnections?: number;
  /** Requests per second */
  maxRequests?: number;
}
