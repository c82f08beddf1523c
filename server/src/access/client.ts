import type { NamePattern } from "docker-over-ssh/builds";
import type { BuildLimits } from "../jobs/job.ts";

/** build: submit, cancel and retry one's own jobs; read: see one's own, the workers and the metrics; admin: all of it for all jobs */
export const SCOPES = ["build", "read", "admin"] as const;
export type Scope = (typeof SCOPES)[number];

/** Whoever has sent a request: the holder of a token, or anybody where the server has no tokens. */
export interface Client {
  /** The token's name */
  name: string;
  scopes: ReadonlySet<Scope>;
  /** Names that it may build; left out: any */
  images?: readonly NamePattern[] | undefined;
  limits: ClientLimits;
}

export interface ClientLimits extends BuildLimits {
  /** Jobs that may be queued, and that may run at the same time */
  queued?: number | undefined;
  running?: number | undefined;
  /** Bytes of a body */
  body?: number | undefined;
}

/** Finds out who has sent a request. */
export interface Access {
  /** Whether requests need a token */
  readonly needsToken: boolean;
  /**
   * Returns who holds a token; undefined for nobody. Takes the same time for each token that is wrong.
   *
   * @param authorization the header: `Bearer TOKEN`, or the token alone
   */
  client(authorization: string | undefined): Client | undefined;
}
