import type { Rule } from "../refusal.ts";

/** A line of audit, about a request or a gRPC call. It contains no secret: no header, no body, no build argument. */
export interface AuditEntry {
  /** ISO 8601 */
  time: string;
  tenant: string;
  /** e.g. `GET /v1.51/images/json`, or `/moby.buildkit.v1.Control/Solve` */
  call: string;
  decision: "allowed" | "refused" | "failed" | "would-refuse";
  /** The rule that decided: a row of the table of calls, e.g. `image.list`, or what refused it */
  rule: Rule;
  /** Why it was refused, or has failed */
  reason?: string | undefined;
  /** What the call is about: images, by the tenant's names, or build targets */
  about?: readonly string[] | undefined;
  status?: number | undefined;
  /** Bytes from the tenant, and to it */
  received: number;
  sent: number;
  ms: number;
  /** How many repeated entries this line stands for; see collapse-repeats.ts */
  count?: number | undefined;
}

/** Takes entries of all tenants. */
export interface AuditLog {
  /** Never throws, and never waits: lines that cannot be written are counted in the metrics, and reported once. */
  write(entry: AuditEntry): void;
}
