/** A job that waits in a {@link FairOrder}. */
export interface Waiting {
  readonly id: string;
  readonly owner: string;
  /** Position among the jobs of one owner, which are taken in this order. No two jobs share it. */
  readonly order: number;
}

/** The jobs of one owner, and the start tag of the first. */
interface Line<T> {
  readonly owner: string;
  readonly jobs: T[];
  tag: number;
}

/**
 * The order of waiting jobs: owners take turns, and the jobs of one owner stay in their order. This is start-time fair
 * queueing (Goyal, Vin and Cheng, 1996), with jobs of equal length. The first job of an owner has the start tag max(v,
 * 1 + the tag of the owner's last taken job); the tag of each further job is 1 higher; v is the tag of the last job
 * that was taken; the job with the lowest tag is taken. Therefore an owner with a thousand jobs delays the single job
 * of another owner by at most one job, and an owner that has waited for a long time does not catch up.
 */
export class FairOrder<T extends Waiting> {
  readonly #lines = new Map<string, Line<T>>();
  readonly #jobs = new Map<string, T>();
  /** By owner: the lowest tag of the next job. Entries that v has passed have no effect, and are removed. */
  readonly #next = new Map<string, number>();
  #v = 0;

  get size(): number {
    return this.#jobs.size;
  }

  /** Returns the number of waiting jobs of an owner. */
  sizeOf(owner: string): number {
    return this.#lines.get(owner)?.jobs.length ?? 0;
  }

  /** Inserts a job among those of its owner. */
  add(job: T): void {
    let line = this.#lines.get(job.owner);
    if (line === undefined) {
      const tag = Math.max(this.#v, this.#next.get(job.owner) ?? 0);
      this.#lines.set(job.owner, (line = { owner: job.owner, jobs: [], tag }));
    }
    line.jobs.splice(indexOf(line.jobs, job.order), 0, job);
    this.#jobs.set(job.id, job);
  }

  /** Removes a job; returns whether it was present. */
  remove(id: string): boolean {
    const job = this.#jobs.get(id);
    const line = job && this.#lines.get(job.owner);
    if (line === undefined || job === undefined) return false;
    this.#jobs.delete(id);
    line.jobs.splice(indexOf(line.jobs, job.order), 1);
    if (line.jobs.length === 0) this.#leave(line);
    return true;
  }

  /** Returns the first job for which `mayRun` is true, without removing it. */
  peek(mayRun: (job: T) => boolean): T | undefined {
    for (const { jobs } of this.#inTurn()) {
      const found = jobs.find((job) => mayRun(job));
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** Removes and returns the first job for which `mayRun` is true. The turn of its owner is over. */
  take(mayRun: (job: T) => boolean): T | undefined {
    const job = this.peek(mayRun);
    const line = job && this.#lines.get(job.owner);
    if (job === undefined || line === undefined) return undefined;
    this.#v = Math.max(this.#v, line.tag); // an owner whose jobs could not run has an older tag
    line.tag = this.#v + 1;
    this.remove(job.id);
    return job;
  }

  /** Returns how many jobs precede this one, if all may run; undefined for one that does not wait. */
  position(id: string): number | undefined {
    const job = this.#jobs.get(id);
    const own = job && this.#lines.get(job.owner);
    if (own === undefined || job === undefined) return undefined;
    const index = indexOf(own.jobs, job.order);
    const tag = own.tag + index;
    let before = index;
    for (const line of this.#lines.values()) {
      if (line === own) continue;
      const earlier = Math.max(0, tag - line.tag); // jobs of the owner's line with lower tags
      const tied = line.tag + earlier === tag ? line.jobs[earlier] : undefined;
      before += Math.min(line.jobs.length, earlier + (tied !== undefined && tied.order < job.order ? 1 : 0));
    }
    return before;
  }

  /** Returns the lines, sorted by their turn. */
  #inTurn(): Line<T>[] {
    const first = ({ jobs }: Line<T>): number => jobs[0]?.order ?? 0;
    return [...this.#lines.values()].toSorted((a, b) => a.tag - b.tag || first(a) - first(b));
  }

  #leave({ owner, tag }: Line<T>): void {
    this.#lines.delete(owner);
    this.#next.set(owner, tag);
    for (const [other, next] of this.#next) if (next <= this.#v) this.#next.delete(other);
  }
}

/** Returns the index of the first job with this order or a higher one. */
function indexOf(jobs: readonly Waiting[], order: number): number {
  let [low, high] = [0, jobs.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((jobs[middle]?.order ?? 0) < order) low = middle + 1;
    else high = middle;
  }
  return low;
}
