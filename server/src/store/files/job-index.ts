import { JOB_STATES, type JobState } from "../../jobs/job.ts";
import type { JobQuery } from "../job-store.ts";
import { KEY_AGE } from "../transitions.ts";
import type { Entry } from "./entry.ts";

/** The jobs of a store, indexed for queries. */
export class JobIndex {
  readonly #entries = new Map<string, Entry>();
  /** By ID, ascending. IDs of version 7 sort in the order of acceptance, so a new job is appended. */
  readonly #sorted: Entry[] = [];
  readonly #byKey = new Map<string, Entry>();

  get(id: string): Entry | undefined {
    return this.#entries.get(id);
  }

  values(): readonly Entry[] {
    return this.#sorted;
  }

  add(entry: Entry): void {
    this.#entries.set(entry.id, entry);
    this.#sorted.splice(this.#indexOf(entry.id), 0, entry);
    const { idempotency } = entry.record;
    if (idempotency !== undefined) this.#byKey.set(keyOf(entry.job.owner, idempotency.key), entry);
  }

  remove({ id, job, record: { idempotency } }: Entry): void {
    if (!this.#entries.delete(id)) return;
    this.#sorted.splice(this.#indexOf(id), 1);
    if (idempotency === undefined) return;
    const key = keyOf(job.owner, idempotency.key);
    if (this.#byKey.get(key)?.id === id) this.#byKey.delete(key);
  }

  /** Returns the job with an owner's idempotency key, if the key has not expired. */
  byKey(owner: string, key: string, now: number): Entry | undefined {
    const entry = this.#byKey.get(keyOf(owner, key));
    return entry !== undefined && now - entry.job.acceptedAt < KEY_AGE ? entry : undefined;
  }

  /** Returns a page of jobs, newest first. The cursor is the ID of its last job. */
  page({ states, name, owner, cursor, limit }: JobQuery): { entries: Entry[]; cursor?: string } {
    const entries: Entry[] = [];
    for (let at = (cursor === undefined ? this.#sorted.length : this.#indexOf(cursor)) - 1; at >= 0; at--) {
      const entry = this.#sorted[at];
      if (entry === undefined) continue;
      const { job } = entry;
      if (states !== undefined && !states.includes(job.state)) continue;
      if (owner !== undefined && job.owner !== owner) continue;
      if (name !== undefined && !job.name.includes(name)) continue;
      const last = entries.at(-1);
      if (entries.length >= limit && last !== undefined) return { entries, cursor: last.id };
      entries.push(entry);
    }
    return { entries };
  }

  counts(owner?: string): Record<JobState, number> {
    const counts = Object.fromEntries(JOB_STATES.map((state) => [state, 0])) as Record<JobState, number>;
    for (const { job } of this.#sorted) if (owner === undefined || job.owner === owner) counts[job.state]++;
    return counts;
  }

  /** Returns the index of the first ID that is equal or higher. */
  #indexOf(id: string): number {
    let [low, high] = [0, this.#sorted.length];
    if ((this.#sorted.at(-1)?.id ?? "") < id) return high;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#sorted[middle]?.id ?? "") < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function keyOf(owner: string, key: string): string {
  return JSON.stringify([owner, key]);
}
