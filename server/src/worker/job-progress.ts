import type { JobPhase } from "../jobs/job.ts";
import type { Claim, JobChange } from "../store/job-store.ts";

/**
 * Reports the progress of a job to the store. Reports are for people, so the job does not fail if the store does not
 * accept one: the next report includes the missing changes.
 */
export class JobProgress {
  readonly #claim: Pick<Claim, "update">;
  readonly #phases: Partial<Record<JobPhase, number>> = {};
  #change: JobChange = {};

  constructor(claim: Pick<Claim, "update" | "job">) {
    this.#claim = claim;
    const { queue } = claim.job.phases;
    if (queue !== undefined) this.#phases.queue = queue;
  }

  async report(change: JobChange): Promise<void> {
    const all = { ...this.#change, ...change };
    this.#change = all;
    try {
      await this.#claim.update(all);
      if (this.#change === all) this.#change = {};
    } catch {
      // the store reports its problems by the claim's signal
    }
  }

  /** Measures and reports a phase, even after a failure. Uses no wall clock, which may be changed in the meantime. */
  async phase<T>(name: JobPhase, work: () => Promise<T>): Promise<T> {
    const begun = performance.now();
    try {
      return await work();
    } finally {
      this.#phases[name] = Math.round(performance.now() - begun);
      await this.report({ phases: { ...this.#phases } });
    }
  }
}
