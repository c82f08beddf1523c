/** An image of a tenant. The engine can also find the images with names. */
export interface LedgerImage {
  /** The engine's ID */
  id: string;
  /** ms since 1970 when it was recorded */
  created: number;
  /** A step of the classic builder: it does not count, and is listed only with --all */
  isIntermediate?: true;
}

/** The usage of a tenant within an hour. The last 24 hours count. */
export interface LedgerHour {
  /** Hours since 1970 */
  hour: number;
  /** ms */
  buildTime: number;
  pushBytes: number;
}

export interface LedgerRecord {
  tenant: string;
  /** Whether the tenant may return after its removal. A pod does not return, so its data is removed with it. */
  mayReturn: boolean;
  images: LedgerImage[];
  /** IDs of BuildKit's cache records */
  cacheRecords: string[];
  hours: LedgerHour[];
}

/**
 * A small persistent store of tenants' images and usage: one file for each tenant, replaced as a whole. Changes of one
 * tenant are made one after the other. If the disk is full, a change rejects with a Refusal `ledger.full` (507), and
 * changes nothing: code that creates an object records it first, or removes it again.
 */
export interface Ledger extends AsyncDisposable {
  /**
   * Aborted when another guard has taken over the folder, because this one was stopped for a long time. After that, all
   * changes are rejected.
   */
  readonly lost: AbortSignal;
  /** IDs of all recorded tenants, including removed ones. */
  tenants(): string[];
  /** Returns the record on the disk; an empty one for an unknown tenant. Callers must not change it. */
  read(tenant: string): Readonly<LedgerRecord>;
  /**
   * Reports that a tenant is present, and whether it may return after its removal, which a guard that starts later
   * needs to know. If the disk is full, the tenant's next change records it.
   */
  admit(tenant: string, mayReturn: boolean): Promise<void>;
  /** Replaces the record by a copy that `change` has modified. Resolves when it is on the disk. */
  change(tenant: string, change: (record: LedgerRecord) => void): Promise<void>;
  /**
   * Forgets a tenant. Remaining work for it cannot change anything until it is admitted again: a change rejects with a
   * Refusal `tenant.gone`.
   */
  remove(tenant: string): Promise<void>;
}
