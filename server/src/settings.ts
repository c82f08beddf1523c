/** How the server works: the options of `serve`, read and checked. Sizes are bytes, times ms. */
export interface ServeSettings {
  listen: ListenAddress;
  tls?: { certFile: string; keyFile: string } | undefined;
  role: "api" | "worker" | "both";
  /** The folder of jobs, bodies and logs. With Redis: of bodies alone; all servers and workers share it. */
  data: string;
  /** redis:// or rediss:// */
  redis?: string | undefined;
  /** A file with a secret, from which keys that seal credentials are derived. All servers and workers share it. */
  keyFile?: string | undefined;
  tokenFile?: string | undefined;
  webhookSecretFile?: string | undefined;
  /** As for -H; empty: the engine that the docker command would use */
  engines: readonly string[];
  /** Jobs that run at the same time on one engine */
  places: number;
  /** Jobs that may be queued, of all owners */
  maxQueued: number;
  upload: UploadLimits;
  fetch: FetchLimits;
  build: {
    /** Bytes that an archive may unpack to */
    maxUnpacked: number;
    /** From the start of a job to its end */
    maxTime: number;
  };
  /** Bytes of one log */
  maxLog: number;
  retention: Retention;
  /** Where logs of jobs that are over are kept as well, from Redis: a folder, or `s3://BUCKET/PREFIX` */
  keepLogs?: string | undefined;
  /** ms that running jobs may take when the server is stopped, before they are interrupted and put back */
  grace: number;
}

export type ListenAddress = { kind: "tcp"; host: string; port: number } | { kind: "unix"; path: string };

export interface UploadLimits {
  /** Bytes of a body */
  maxBody: number;
  /** ms of silence in a body */
  idle: number;
}

export interface FetchLimits {
  /** Bytes of an archive */
  maxBytes: number;
  /** ms for all of it */
  maxTime: number;
  redirects: number;
  /** --allow-host: hosts, `HOST` or `HOST:PORT`, that may have a private address */
  allowedHosts: readonly string[];
}

/** Jobs that are over are removed when they are older than `age`, and the oldest while they have more than `bytes`; some stay in any case. */
export interface Retention {
  age: number;
  bytes: number;
}
