/** The permissions of a tenant. Everything that is not listed is refused. */
export interface Policy {
  /**
   * Bases that a build may use in addition to the tenant's own images, and that the host may already have: patterns of
   * full names ({@link ImagePattern})
   */
  bases: readonly ImagePattern[];
  /**
   * Bases that are pulled from their registry, with the tenant's credentials. The host's images with such names are not
   * used.
   */
  pulls: readonly ImagePattern[];
  /** Names that may be pushed */
  pushes: readonly ImagePattern[];
  /** Prefixes of addresses that `ADD`, git contexts and remote contexts may name, e.g. `https://github.com/example/`. The engine fetches them. */
  sources: readonly string[];
  /** Whether builds share cache records with the builds of other tenants */
  sharesCache: boolean;
  /** Whether `RUN` has a network */
  hasNetwork: boolean;
}

/**
 * A full name, e.g. `docker.io/library/alpine:3.20`, in which `*` matches any characters of the host, the path
 * (including `/`) or the tag. Without a tag: all tags. `*` alone: every name.
 */
export type ImagePattern = string;

/** The host's resources for a tenant's builds. */
export interface Resources {
  /**
   * The cgroup under which steps run, e.g. `/kubepods/burstable/pod1234` or `tenants.slice`. Undefined: the guard
   * creates one if there is a limit.
   */
  cgroupParent?: string | undefined;
  /** Bytes */
  memory?: number | undefined;
  /** Processors, e.g. 0.5 */
  cpus?: number | undefined;
  pids?: number | undefined;
  /** e.g. `nofile=1024:2048` */
  ulimits: readonly string[];
}

/** The quotas of a tenant. Undefined: no limit. Times are ms per 24 hours; sizes are bytes. */
export interface Quotas {
  images?: number | undefined;
  /** Of all images, as the engine counts them */
  bytes?: number | undefined;
  /** Simultaneous builds */
  builds?: number | undefined;
  buildTime?: number | undefined;
  pushBytes?: number | undefined;
  /** Of one build context */
  context: number;
  /** Open connections */
  connections: number;
  /** Requests and gRPC calls per second, on average */
  requests: number;
}
