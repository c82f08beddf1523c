import type { Refusal } from "../refusal.ts";
import type { AuditEntry } from "./entry.ts";

/** Returns the entry for a connection that is closed, regardless of its requests. */
export function refusedConnection(tenant: string, { rule, message, statusCode }: Refusal): AuditEntry {
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
