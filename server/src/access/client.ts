import type { NamePattern } from "docker-over-ssh/builds";
import type { BuildLimits } from "../jobs/job.ts";

/**
 * build: submit builds, and cancel and retry one's own; read: read one's own builds, the workers and the metrics;
 * admin: all of this for all jobs
 */
export const SCOPES = ["build", "read", "admin"] as const;
export type Scope = (typeof SCOPES)[number];

/** The sender of a request: the holder of a token, or anybody on a server without tokens. */
export interface Client {
  /** Name of the token */
  name: string;
  scopes: ReadonlySet<Scope>;
  /** Names that the client may build. Default: any */
  images?: readonly NamePattern[] | undefined;
  limits: ClientLimits;
}

export interface ClientLimits extends BuildLimits {
  /** Maximum numbers of queued jobs and of running jobs */
  queued?: number | undefined;
  running?: number | undefined;
  /** Bytes of a body */
  body?: number | undefined;
}

/** Identifies the sender of a request. */
export interface Access {
  /** Whether requests need a token */
  readonly needsToken: boolean;
  /**
   * Returns the holder of a token; undefined for an unknown token. Every wrong token takes the same time.
   *
   * @param authorization the header: `Bearer TOKEN`, or the token alone
   */
  client(authorization: string | undefined): Client | undefined;
}
