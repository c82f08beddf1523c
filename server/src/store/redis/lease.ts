/** The times that decide when a worker counts as dead, in ms. Tests shorten them. */
export interface LeaseTimes {
  /**
   * Duration of a lease. A worker renews the leases of its jobs more often. When a lease has expired, another worker
   * may run the job.
   */
  lease: number;
  /** Interval of the search for expired leases. Two searches are needed to find one. */
  look: number;
  /** Time for a worker to come back after its expired lease was detected */
  grace: number;
}

/** A job of a dead worker runs again after at most 23 s: a lease, two searches, and a grace period. */
export const LEASE_TIMES: LeaseTimes = { lease: 10_000, look: 5000, grace: 3000 };

/**
 * Returns the interval for renewing leases. Renewal also detects cancelled jobs within a second if their message was
 * lost.
 */
export function beatEvery({ lease }: LeaseTimes): number {
  return Math.min(900, lease / 3);
}
