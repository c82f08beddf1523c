/** How long a worker may be silent. All ms. Tests shorten them. */
export interface LeaseTimes {
  /** A worker renews the leases of its jobs more often than this. After it the job may be run by another. */
  lease: number;
  /** How often it is looked for jobs whose lease is over. It takes two looks to find one. */
  look: number;
  /** How long a worker has to come back, after somebody has seen that its lease is over */
  grace: number;
}

/** A job of a dead worker runs again after 23 s at most: a lease, two looks, and a grace. */
export const LEASE_TIMES: LeaseTimes = { lease: 10_000, look: 5000, grace: 3000 };

/** How often leases are renewed. At the same time workers learn of cancelled jobs, if the message was lost: within a second. */
export function beatEvery({ lease }: LeaseTimes): number {
  return Math.min(900, lease / 3);
}
