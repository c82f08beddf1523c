import { FairOrder, type Waiting } from "../fair-order.ts";
import type { Entry } from "./entry.ts";

interface WaitingJob extends Waiting {
  readonly entry: Entry;
  /** ms since 1970; the job does not run before this time. */
  readonly notBefore: number;
}

/**
 * The waiting jobs, and the rules for running them: in fair order, one job of an image name at a time, and within the
 * limit of each owner.
 */
export class RunQueue {
  readonly #order = new FairOrder<WaitingJob>();
  readonly #busyNames = new Set<string>();
  readonly #runningOf = new Map<string, number>();
  /** The jobs that wait before they run again */
  readonly #delayed = new Map<string, number>();

  get size(): number {
    return this.#order.size;
  }

  sizeOf(owner: string): number {
    return this.#order.sizeOf(owner);
  }

  position(id: string): number | undefined {
    return this.#order.position(id);
  }

  add(entry: Entry, notBefore = 0): void {
    this.#order.add({ id: entry.id, owner: entry.job.owner, order: entry.record.order, entry, notBefore });
    if (notBefore > 0) this.#delayed.set(entry.id, notBefore);
  }

  remove(id: string): boolean {
    this.#delayed.delete(id);
    return this.#order.remove(id);
  }

  /** Returns whether any job may run. */
  hasNext(now: number): boolean {
    return this.#order.peek((job) => this.#mayRun(job, now)) !== undefined;
  }

  /** Takes the next job that may run. It counts as running until {@link ended}. */
  take(now: number): Entry | undefined {
    const entry = this.#order.take((job) => this.#mayRun(job, now))?.entry;
    if (entry === undefined) return undefined;
    this.#delayed.delete(entry.id);
    this.#busyNames.add(entry.job.fullName);
    this.#runningOf.set(entry.job.owner, this.#running(entry.job.owner) + 1);
    return entry;
  }

  /** Ends a job that was taken: it no longer counts as running. */
  ended({ job: { fullName, owner } }: Entry): void {
    this.#busyNames.delete(fullName);
    const left = this.#running(owner) - 1;
    if (left > 0) this.#runningOf.set(owner, left);
    else this.#runningOf.delete(owner);
  }

  /** Returns the earliest time at which a delayed job may run. */
  nextAt(now: number): number | undefined {
    const times = [...this.#delayed.values()].filter((time) => time > now);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  #mayRun({ entry: { job, record }, notBefore }: WaitingJob, now: number): boolean {
    if (notBefore > now || this.#busyNames.has(job.fullName)) return false;
    return record.maxRunning === undefined || this.#running(job.owner) < record.maxRunning;
  }

  #running(owner: string): number {
    return this.#runningOf.get(owner) ?? 0;
  }
}
