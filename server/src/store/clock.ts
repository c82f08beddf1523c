/** The time that a store reckons with. */
export interface Clock {
  /** ms since 1970 */
  now(): number;
}

/** A clock that shows the time of day at its start, and goes on evenly: a time of day that jumps ages nothing. */
export function monotonicClock(): Clock {
  const start = Date.now() - performance.now();
  return { now: () => Math.round(start + performance.now()) };
}
