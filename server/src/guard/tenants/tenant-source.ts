import type { TenantEndpoint } from "../tenant.ts";

/** Receives the changes of a source's tenants. */
export interface TenantChanges {
  /** Called when a tenant was added, or its labels or limits have changed; its ID stays the same. */
  onCame: (endpoint: TenantEndpoint) => void;
  /**
   * Called when a tenant was removed.
   *
   * @param removesData whether to remove all its data as well: a pod does not return, but a tenant of a configuration may
   */
  onWent: (id: string, removesData: boolean) => void;
  /** For the operator: a file that cannot be read, an engine that does not answer. The source continues. */
  onProblem: (problem: string) => void;
}

/** Finds tenants. */
export interface TenantSource {
  /** For messages, e.g. `--config tenants.json` */
  readonly name: string;
  /**
   * Whether a removed tenant may return, and keeps its data. False for pods: their data is removed with them, even if
   * that happens while no guard is running.
   */
  readonly tenantsReturn: boolean;
  /**
   * Reports the present tenants, calls `onReady`, then reports the changes, until `signal` is aborted; then resolves. Rejects with a Failure if it cannot
   * begin, e.g. with `usage` for a configuration that cannot be read.
   */
  follow(changes: TenantChanges, options: { signal: AbortSignal; onReady: () => void }): Promise<void>;
  /** Reads its file again (SIGHUP). Rejects with a Failure if the file cannot be read, and changes nothing. */
  reload?(): Promise<void>;
}
