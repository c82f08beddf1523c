import type { Rule } from "./refusal.ts";
import type { Tenant } from "./tenant.ts";

/** Who asks, in which version of the API, and until when. */
export interface Caller {
  readonly tenant: Tenant;
  /** e.g. `1.51`; undefined: the request was unversioned, and the engine's own is meant */
  readonly apiVersion: string | undefined;
  /** Aborted when the client has gone, the tenant has gone, or a quota ends the call: its reason is then a Refusal. */
  readonly signal: AbortSignal;
  /** What the audit line says beside what the front knows. */
  readonly note: CallNote;
}

/** Written by whoever handles the call, read when it is over. */
export interface CallNote {
  rule?: Rule;
  about?: string[];
}
