/** What a tenant has on the engine, written down. The engine's names say the same of images that have names. */
export interface LedgerImage {
  /** The engine's ID */
  id: string;
  /** ms since 1970: when it was written down */
  created: number;
  /** A step of the classic builder: it does not count, and is listed only with --all */
  isIntermediate?: true;
}

/** What a tenant has used up, by hours: those of the last 24 count. */
export interface LedgerHour {
  /** Hours since 1970 */
  hour: number;
  /** ms */
  buildTime: number;
  pushBytes: number;
}

export interface LedgerRecord {
  tenant: string;
  /** Whether the tenant may return once it has gone. A pod does not: what it has is removed. */
  mayReturn: boolean;
  images: LedgerImage[];
  /** IDs of BuildKit's cache records */
  cacheRecords: string[];
  hours: LedgerHour[];
}

/**
 * A small store of what tenants have, which survives the guard: a file for each tenant, which is replaced as a whole. Changes of one tenant are made one
 * after the other. A change that the disk does not take rejects with a Refusal `ledger.full` (507), and changes nothing: whoever creates something
 * writes it down first, or removes it again.
 */
export interface Ledger extends AsyncDisposable {
  /** Aborted when another guard has taken the folder over, because this one was stopped for long. No change is made any more. */
  readonly lost: AbortSignal;
  /** IDs of all tenants that are written down, also of those that are gone. */
  tenants(): string[];
  /** Returns what is on the disk; an empty record for a tenant that is not written down. Nobody changes it. */
  read(tenant: string): Readonly<LedgerRecord>;
  /**
   * Says that a tenant is there, and whether it may return once it has gone, for a guard that starts when it has. Where the disk is full, its next change
   * writes that down.
   */
  admit(tenant: string, mayReturn: boolean): Promise<void>;
  /** Replaces the record by what `change` makes of a copy. Resolves when it is on the disk. */
  change(tenant: string, change: (record: LedgerRecord) => void): Promise<void>;
  /** Forgets a tenant. What still runs for it can change nothing until it is admitted again: a change rejects with a Refusal `tenant.gone`. */
  remove(tenant: string): Promise<void>;
}
