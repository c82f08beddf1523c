import type { SeatedTenant } from "../tenant.ts";

/** What has changed of a source's tenants. */
export interface TenantChanges {
  /** A tenant is there; also for one whose labels or limits have changed, which then has the same id. */
  onCame: (seated: SeatedTenant) => void;
  /**
   * A tenant has gone.
   *
   * @param isForGood whether all that it has is removed: a pod does not come back, while a tenant of a configuration may
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
   * Whether a tenant that has gone may return, and keeps what it has. False for pods: what they have is removed when they go, also when they have
   * gone while no guard was there.
   */
  readonly tenantsReturn: boolean;
  /**
   * Tells the tenants that there are, then the changes, until `signal` is aborted; then resolves. Resolves `ready` of them when the first are told.
   * Rejects with a Failure where it cannot begin, e.g. with `usage` for a configuration that cannot be read.
   */
  follow(changes: TenantChanges, options: { signal: AbortSignal; onReady: () => void }): Promise<void>;
  /** Reads its file again (SIGHUP). Rejects with a Failure for one that cannot be read, and changes nothing. */
  reload?(): Promise<void>;
}
