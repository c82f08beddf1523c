import type { TenantEndpoint } from "../tenant.ts";

/** Receives the changes of a source's tenants. */
export interface TenantChanges {
  /** A tenant was added, or its labels or limits have changed: then it has the same ID. */
  onCame: (endpoint: TenantEndpoint) => void;
  /**
   * A tenant was removed.
   *
   * @param isForGood whether all that it has is removed, too: a pod does not come back, while a tenant of a configuration may
   */
  onWent: (id: string, isForGood: boolean) => void;
  /** For the operator: a file that cannot be read, an engine that does not answer. The source goes on. */
  onProblem: (problem: string) => void;
}

/** Finds tenants. */
export interface TenantSource {
  /** For messages, e.g. `--config tenants.json` */
  readonly name: string;
  /**
   * Whether a removed tenant may return, and keeps what it has. False for pods: what they have is removed with them, even if that happens while no guard
   * is running.
   */
  readonly tenantsReturn: boolean;
  /**
   * Reports the present tenants, calls `onReady`, then reports the changes, until `signal` is aborted; then resolves. Rejects with a Failure if it cannot
   * begin, e.g. with `usage` for a configuration that cannot be read.
   */
  follow(changes: TenantChanges, options: { signal: AbortSignal; onReady: () => void }): Promise<void>;
  /** Reads its file again (SIGHUP). Rejects with a Failure for one that cannot be read, and changes nothing. */
  reload?(): Promise<void>;
}
