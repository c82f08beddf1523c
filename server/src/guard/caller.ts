import type { Rule } from "./refusal.ts";
import type { Tenant } from "./tenant.ts";

/** The tenant that makes a call, the version of the API, and the end of the call. */
export interface Caller {
  readonly tenant: Tenant;
  /** e.g. `1.51`; undefined: the request had no version, so the engine's own applies */
  readonly apiVersion: string | undefined;
  /** Aborted when the client disconnects, the tenant is removed, or a quota ends the call. The reason is a Refusal. */
  readonly signal: AbortSignal;
  /** Values that the handler adds to the audit line. */
  readonly note: CallNote;
}

/** Written while the call is handled, read when it is over. */
export interface CallNote {
  rule?: Rule;
  about?: string[];
}
