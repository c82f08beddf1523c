/**
 * A parsed `POST /build`: the options that the docker CLI offers, without those that no tenant may use. Sizes are
 * bytes.
 */
export interface BuildRequest {
  builder: "classic" | "buildkit";
  /** `t`: references with the tenant's names */
  names: readonly string[];
  /** The path of the Dockerfile in the context */
  dockerfile: string;
  target?: string | undefined;
  /** null: the value is in the builder's environment, which is empty */
  buildArgs: Readonly<Record<string, string | null>>;
  labels: Readonly<Record<string, string>>;
  platform?: string | undefined;
  noCache: boolean;
  pull: boolean;
  quiet: boolean;
  /** Classic: remove intermediate containers, by default after a successful build */
  remove: boolean;
  forceRemove: boolean;
  /** References of the tenant's own images */
  cacheFrom: readonly string[];
  network: "default" | "none";
  /** `HOST:ADDRESS` */
  extraHosts: readonly string[];
  shmSize?: number | undefined;
  /** e.g. `nofile=1024:2048` */
  ulimits: readonly string[];
  /** The limits that the tenant requests */
  memory?: number | undefined;
  memorySwap?: number | undefined;
  cpuShares?: number | undefined;
  cpuQuota?: number | undefined;
  cpuPeriod?: number | undefined;
  cpusetCpus?: string | undefined;
  /** `remote`: an address that the builder fetches; undefined for a context in the body or in a session */
  remote?: string | undefined;
  /** BuildKit: the ID of the session, as the client chose it */
  session?: string | undefined;
  /** BuildKit: the ID of this build, as the client chose it; needed to cancel it */
  buildId?: string | undefined;
  /** BuildKit: exporters, in the JSON of the API. Empty: an image */
  outputs: readonly { type: string; attributes: Readonly<Record<string, string>> }[];
  /** By registry, as in the docker config. Never printed */
  credentials: Readonly<Record<string, Credentials>>;
}

/** Credentials of a registry. Never printed */
export interface Credentials {
  username: string;
  password: string;
  /** Replaces username and password */
  identityToken?: string | undefined;
  registryToken?: string | undefined;
}
