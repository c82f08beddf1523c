// `npm run docs` makes docs/guard.schema.json of these types.

/** Sizes are bytes, or a text like "500m". */
export interface GuardConfig {
  /** For an editor; not read */
  $schema?: string;
  /** Settings for the tenants of this file. A setting that is missing here too comes from the command line. */
  defaults?: TermsConfig;
  tenants?: TenantConfig[];
}

export interface TenantConfig extends TermsConfig {
  /** Lower-case letters, digits and single hyphens, at most 63 */
  name: string;
  /** The absolute path of the tenant's socket, at most 107 bytes */
  socket: string;
  /** Stamped on the images that the tenant builds */
  labels?: { [key: string]: string };
}

/** The options of the same names. */
export interface TermsConfig {
  /** Bases that FROM may name, the host's images: patterns */
  allowBase?: string[];
  /** Bases that FROM may name, always from their registry: patterns */
  allowPull?: string[];
  /** Names that may be pushed: patterns */
  allowPush?: string[];
  /** Beginnings of addresses that ADD and git contexts may name */
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
  /** At the same time */
  maxBuilds?: number;
  /** In 24 hours */
  maxBuildMinutes?: number;
  /** Bytes in 24 hours */
  maxPush?: number | string;
  /** Bytes of one build context */
  maxContext?: number | string;
  maxConnections?: number;
  /** A second */
  maxRequests?: number;
}
