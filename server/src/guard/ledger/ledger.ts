/** An image that a tenant has. Images with names could also be found by their names on the engine. */
export interface LedgerImage {
  /** The engine's ID */
  id: string;
  /** ms since 1970: when it was written down */
  created: number;
  /** A step of the classic builder: it does not count, and is listed only with --all */
  isIntermediate?: true;
}

/** What a tenant has used within an hour. The last 24 hours count. */
export interface LedgerHour {
  /** Hours since 1970 */
  hour: number;
  /** ms */
  buildTime: number;
  pushBytes: number;
}

export interface LedgerRecord {
  tenant: string;
  /** Whether the tenant may return once it was removed. A pod does not: what it has is removed with it. */
  mayReturn: boolean;
  images: LedgerImage[];
  /** IDs of BuildKit's cache records */
  cacheRecords: string[];
  hours: LedgerHour[];
}

/**
 * A small store of what tenants have, which survives the guard: a file for each tenant, which is replaced as a whole. Changes of one tenant are made one
 * after the other. If the disk is full, a change rejects with a Refusal `ledger.full` (507), and changes nothing: code that creates something records it
 * first, or removes it again.
 */
export interface Ledger extends AsyncDisposable {
  /** Aborted when another guard has taken the folder over, because this one was stopped for long. From then on, all changes are rejected. */
  readonly lost: AbortSignal;
  /** IDs of all recorded tenants, including removed ones. */
  tenants(): string[];
  /** Returns the record on the disk; an empty one for an unknown tenant. It must not be changed. */
  read(tenant: string): Readonly<LedgerRecord>;
  /**
   * Reports that a tenant is present, and whether it may return once it was removed: a guard that starts later needs to know. If the disk is full, the
   * tenant's next change records it.
   */
  admit(tenant: string, mayReturn: boolean): Promise<void>;
  /** Replaces the record by what `change` makes of a copy. Resolves when it is on the disk. */
  change(tenant: string, change: (record: LedgerRecord) => void): Promise<void>;
  /** Forgets a tenant. What still runs for it can change nothing until it is admitted again: a change rejects with a Refusal `tenant.gone`. */
  remove(tenant: string): Promise<void>;
}
