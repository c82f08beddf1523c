import type { Duplex } from "node:stream";
import type { AuditLog } from "../audit/entry.ts";
import type { Backend } from "../backend.ts";
import { Refusal } from "../refusal.ts";
import type { Throttle } from "../sockets/throttle.ts";
import type { Tenant } from "../tenant.ts";
import type { Timeouts } from "./timeouts.ts";

/** The service behind one tenant's socket. */
export interface FrontDependencies {
  backend: Backend;
  audit: AuditLog;
  throttle: Pick<Throttle, "take">;
  /** Called with unexpected failures, for the operator */
  onProblem: (problem: string) => void;
  /** For audit lines */
  now?: () => Date;
  timeouts?: Partial<Timeouts>;
}

/** The shared state of the requests of one front. */
export interface FrontContext extends Required<Omit<FrontDependencies, "timeouts">> {
  timeouts: Timeouts;
  tenant: () => Tenant;
  /** Aborted when the front closes */
  closing: AbortSignal;
  /** Number of open requests and gRPC calls, including this one */
  open: { count: number };
  /**
   * Answers the requests on a connection that a request has switched to HTTP/2. Owns it, and resolves when it is
   * closed.
   */
  serveHttp2: (connection: Duplex, signal: AbortSignal) => Promise<void>;
}

/**
 * Limits a tenant's simultaneous requests to its number of connections: an HTTP/2 connection can carry many requests,
 * and each may hold a connection to the engine.
 *
 * @throws Refusal 429 `quota.calls`
 */
export function checkOpen({ open, tenant }: FrontContext): void {
  const most = tenant().quotas.connections;
  if (open.count > most) {
    throw new Refusal("quota.calls", `too many requests at a time: this tenant may have at most ${most} open`, {
      statusCode: 429,
      retryAfter: 1,
    });
  }
}
