import type { Rule } from "../refusal.ts";

/** What is written down of a request, or of a gRPC call: a line of JSON. It holds no secret: no header, no body, no build argument. */
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
  /** Images, by the tenant's names; build targets; whatever the call is about */
  about?: readonly string[] | undefined;
  status?: number | undefined;
  /** Bytes from the tenant, and to it */
  received: number;
  sent: number;
  ms: number;
  /** Of a flood: how many such entries this line stands for */
  count?: number | undefined;
}

/** Takes entries of all tenants. */
export interface AuditLog {
  /** Never throws, and never waits: lines that the disk does not take are counted in the metrics, and told once. */
  write(entry: AuditEntry): void;
}
