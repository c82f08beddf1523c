import type { Duplex } from "node:stream";
import type { AuditLog } from "../audit/entry.ts";
import type { Backend } from "../backend.ts";
import { Refusal } from "../refusal.ts";
import type { Throttle } from "../sockets/throttle.ts";
import type { Tenant } from "../tenant.ts";
import type { Timeouts } from "./timeouts.ts";

/** What stands behind one tenant's socket. */
export interface FrontParts {
  backend: Backend;
  audit: AuditLog;
  throttle: Pick<Throttle, "take">;
  /** For the operator: what has failed that should not */
  onProblem: (problem: string) => void;
  /** For audit lines */
  now?: () => Date;
  timeouts?: Partial<Timeouts>;
}

/** What the requests of one front share. */
export interface FrontContext extends Required<Omit<FrontParts, "timeouts">> {
  timeouts: Timeouts;
  tenant: () => Tenant;
  /** Aborted when the front closes */
  closing: AbortSignal;
  /** Requests and gRPC calls that are open, this one included */
  open: { count: number };
  /** Answers what comes on a connection of HTTP/2 that a request has switched to. Resolves when it is closed. Owns it. */
  serveHttp2: (connection: Duplex, signal: AbortSignal) => Promise<void>;
}

/**
 * Keeps a tenant to as many requests at a time as it may have connections: with HTTP/2, one connection has many, and each may hold one to the engine.
 *
 * @throws Refusal 429 `quota.calls`
 */
export function checkOpen({ open, tenant }: FrontContext): void {
  const most = tenant().quotas.connections;
  if (open.count > most) {
    throw new Refusal("quota.calls", `too many requests at a time: this tenant may have ${most} open`, {
      statusCode: 429,
      retryAfter: 1,
    });
  }
}
