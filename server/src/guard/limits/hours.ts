import type { LedgerHour } from "../ledger/ledger.ts";

/** ms */
const HOUR = 3_600_000;
/** Number of hours that count, including the current one */
const COUNTED_HOURS = 24;

/** The usage of a tenant, by hours. */
export class UsedHours {
  #hours: LedgerHour[];

  constructor(hours: readonly LedgerHour[]) {
    this.#hours = hours.map((hour) => ({ ...hour }));
  }

  /** Adds usage at `now`, ms since 1970. */
  add(now: number, used: { buildTime?: number; pushBytes?: number }): void {
    const hour = Math.floor(now / HOUR);
    let entry = this.#hours.find((found) => found.hour === hour);
    if (entry === undefined) {
      entry = { hour, buildTime: 0, pushBytes: 0 };
      this.#hours.push(entry);
    }
    entry.buildTime += Math.round(used.buildTime ?? 0);
    entry.pushBytes += used.pushBytes ?? 0;
  }

  sum(now: number, what: "buildTime" | "pushBytes"): number {
    return this.counted(now).reduce((sum, hour) => sum + hour[what], 0);
  }

  /**
   * Returns the hours that count, and forgets the others. Hours in the future come from a wrong clock, and do not
   * count.
   */
  counted(now: number): LedgerHour[] {
    const current = Math.floor(now / HOUR);
    this.#hours = this.#hours.filter(({ hour }) => hour > current - COUNTED_HOURS && hour <= current);
    return this.#hours.map((hour) => ({ ...hour }));
  }

  /** Returns when the oldest hour with usage stops counting, ms since 1970. */
  nextFree(now: number, what: "buildTime" | "pushBytes"): number {
    const used = this.counted(now).filter((hour) => hour[what] > 0);
    return (Math.min(...used.map(({ hour }) => hour), Math.floor(now / HOUR)) + COUNTED_HOURS) * HOUR;
  }
}
