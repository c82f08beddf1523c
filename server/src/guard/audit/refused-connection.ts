import { Refusal } from "../refusal.ts";
import type { AuditEntry } from "./entry.ts";

/** Returns the entry for a connection that a tenant may not have beside those that are open. No request of it is read. */
export function refusedConnection(tenant: string): AuditEntry {
  const { rule, message, statusCode } = new Refusal("quota.connections", "too many open connections of this tenant", {
    statusCode: 429,
  });
  return {
    time: new Date().toISOString(),
    tenant,
    call: "connection",
    decision: "refused",
    rule,
    reason: message,
    status: statusCode,
    received: 0,
    sent: 0,
    ms: 0,
  };
}
