import type { Rule } from "../refusal.ts";

/** An audit line, about a request or a gRPC call. It contains no secret: no header, no body, no build argument. */
export interface AuditEntry {
  /** ISO 8601 */
  time: string;
  tenant: string;
  /** e.g. `GET /v1.51/images/json`, or `/moby.buildkit.v1.Control/Solve` */
  call: string;
  decision: "allowed" | "refused" | "failed" | "would-refuse";
  /** The rule that decided: the name of an allowed call, e.g. `image.list`, or of the check that refused it */
  rule: Rule;
  /** Why it was refused, or has failed */
  reason?: string | undefined;
  /** The subject of the call: images, by the tenant's names, or build targets */
  about?: readonly string[] | undefined;
  status?: number | undefined;
  /** Bytes received from the tenant and sent to it */
  received: number;
  sent: number;
  ms: number;
  /** How many repeated entries this line stands for; see collapse-repeats.ts */
  count?: number | undefined;
}

/** Receives the entries of all tenants. */
export interface AuditLog {
  /** Never throws, and never waits: lines that cannot be written are counted in the metrics, and reported once. */
  write(entry: AuditEntry): void;
}
