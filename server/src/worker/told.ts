import type { JobPhase } from "../jobs/job.ts";
import type { Claim, JobChange } from "../store/job-store.ts";

/**
 * What a run tells of its job. It is told for people, so a store that does not take it is no reason for the job to fail: the next change tells it
 * again.
 */
export class Told {
  readonly #claim: Pick<Claim, "update">;
  readonly #phases: Partial<Record<JobPhase, number>> = {};
  #change: JobChange = {};

  constructor(claim: Pick<Claim, "update" | "job">) {
    this.#claim = claim;
    const { queue } = claim.job.phases;
    if (queue !== undefined) this.#phases.queue = queue;
  }

  async tell(change: JobChange): Promise<void> {
    const all = { ...this.#change, ...change };
    this.#change = all;
    try {
      await this.#claim.update(all);
      if (this.#change === all) this.#change = {};
    } catch {
      // what has gone wrong with the store, it tells by the claim's signal
    }
  }

  /** Measures a phase, and tells it, also when it fails. Not by the clock of the wall, which may be set meanwhile. */
  async phase<T>(name: JobPhase, work: () => Promise<T>): Promise<T> {
    const begun = performance.now();
    try {
      return await work();
    } finally {
      this.#phases[name] = Math.round(performance.now() - begun);
      await this.tell({ phases: { ...this.#phases } });
    }
  }
}
