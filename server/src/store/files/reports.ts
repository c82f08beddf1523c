import type { Clock } from "../clock.ts";
import type { WorkerReport } from "../job-store.ts";

/** ms for which a report is valid */
const REPORT_LIFETIME = 30_000;

/** The reports of workers, in memory. */
export class Reports {
  readonly #clock: Clock;
  readonly #reports = new Map<string, { report: WorkerReport; until: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(report: WorkerReport): void {
    this.#reports.set(report.worker, { report, until: this.#clock.now() + REPORT_LIFETIME });
  }

  /** Returns the reports of live workers. */
  current(): WorkerReport[] {
    for (const [worker, { until }] of this.#reports) if (until < this.#clock.now()) this.#reports.delete(worker);
    return [...this.#reports.values()].map(({ report }) => report);
  }
}
