/** The clock of a store. */
export interface Clock {
  /** ms since 1970 */
  now(): number;
}

/** A clock that starts at the time of day and then runs evenly: a jump of the system time ages nothing. */
export function monotonicClock(): Clock {
  const start = Date.now() - performance.now();
  return { now: () => Math.round(start + performance.now()) };
}
