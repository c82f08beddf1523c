/** The settings of the server: the options of `serve`, parsed and validated. Sizes are bytes, times ms. */
export interface ServeSettings {
  listen: ListenAddress;
  tls?: { certFile: string; keyFile: string } | undefined;
  role: "api" | "worker" | "both";
  /**
   * The folder of jobs, bodies and logs. With Redis, the folder of bodies only, which all servers and workers share.
   */
  data: string;
  /** redis:// or rediss:// */
  redis?: string | undefined;
  /** A file with a secret, from which keys that encrypt credentials are derived. All servers and workers share it. */
  keyFile?: string | undefined;
  tokenFile?: string | undefined;
  webhookSecretFile?: string | undefined;
  /** Engines in the format of -H; empty: the engine that the docker command would use */
  engines: readonly string[];
  /** Number of jobs that run at the same time on one engine */
  places: number;
  /** Maximum number of queued jobs, of all owners */
  maxQueued: number;
  upload: UploadLimits;
  fetch: FetchLimits;
  build: {
    /** Maximum bytes of an unpacked archive */
    maxUnpacked: number;
    /** Maximum time from the start of a job to its end */
    maxTime: number;
  };
  /** Maximum bytes of one log */
  maxLog: number;
  retention: Retention;
  /** Additional storage for logs of jobs that are over, in case of Redis: a folder, or `s3://BUCKET/PREFIX` */
  keepLogs?: string | undefined;
  /** ms that running jobs may take when the server is stopped, before they are interrupted and queued again */
  grace: number;
}

export type ListenAddress = { kind: "tcp"; host: string; port: number } | { kind: "unix"; path: string };

export interface UploadLimits {
  /** Maximum bytes of a body */
  maxBody: number;
  /** Maximum ms of silence in a body */
  idle: number;
}

export interface FetchLimits {
  /** Maximum bytes of an archive */
  maxBytes: number;
  /** Maximum ms of the whole download */
  maxTime: number;
  redirects: number;
  /** --allow-host: hosts, `HOST` or `HOST:PORT`, that may have a private address */
  allowedHosts: readonly string[];
}

/**
 * Jobs that are over are removed when they are older than `age`; the oldest are removed while all together have more
 * than `bytes`. A minimum number of jobs is always kept.
 */
export interface Retention {
  age: number;
  bytes: number;
}
