/** What a tenant may do. Everything that is not listed is refused. */
export interface Policy {
  /** Bases that a build may use beside the tenant's own images, and that the host may already have: patterns of full names ({@link ImagePattern}) */
  bases: readonly ImagePattern[];
  /** Bases that are pulled from their registry, with the tenant's credentials. An image of the host with such a name is not used. */
  pulls: readonly ImagePattern[];
  /** Where images may be pushed to */
  pushes: readonly ImagePattern[];
  /** Prefixes of addresses that `ADD`, git contexts and remote contexts may name, e.g. `https://github.com/example/`. The engine fetches them. */
  sources: readonly string[];
  /** Whether builds use and leave cache records that other tenants' builds use */
  sharesCache: boolean;
  /** Whether `RUN` has a network */
  hasNetwork: boolean;
}

/**
 * A full name, e.g. `docker.io/library/alpine:3.20`, in which `*` stands for any characters of the host, the path (`/` included) or the tag. Without a
 * tag: all tags. `*` alone: every name.
 */
export type ImagePattern = string;

/** What a tenant's builds get of the host. */
export interface Resources {
  /** The cgroup under which steps run, e.g. `/kubepods/burstable/pod1234` or `tenants.slice`. Undefined: the guard makes one where there is a limit. */
  cgroupParent?: string | undefined;
  /** Bytes */
  memory?: number | undefined;
  /** Processors, e.g. 0.5 */
  cpus?: number | undefined;
  pids?: number | undefined;
  /** e.g. `nofile=1024:2048` */
  ulimits: readonly string[];
}

/** What a tenant may use up. Undefined: without a limit. Times are ms, per 24 hours; sizes bytes. */
export interface Quotas {
  images?: number | undefined;
  /** Of all images, as the engine counts them */
  bytes?: number | undefined;
  /** At the same time */
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
