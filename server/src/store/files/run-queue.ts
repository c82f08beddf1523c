import { FairOrder, type Waiting } from "../fair-order.ts";
import type { Entry } from "./entry.ts";

interface WaitingJob extends Waiting {
  readonly entry: Entry;
  /** ms since 1970; it does not run before. */
  readonly notBefore: number;
}

/** The jobs that wait, and which of them may run: in fair order, one of an image name at a time, and no more of an owner than it may. */
export class RunQueue {
  readonly #order = new FairOrder<WaitingJob>();
  readonly #busyNames = new Set<string>();
  readonly #runningOf = new Map<string, number>();
  /** The jobs that wait to run again */
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

  /** Whether a job may run. */
  hasNext(now: number): boolean {
    return this.#order.peek((job) => this.#mayRun(job, now)) !== undefined;
  }

  /** Takes the next job that may run. It runs until {@link ended}. */
  take(now: number): Entry | undefined {
    const entry = this.#order.take((job) => this.#mayRun(job, now))?.entry;
    if (entry === undefined) return undefined;
    this.#delayed.delete(entry.id);
    this.#busyNames.add(entry.job.fullName);
    this.#runningOf.set(entry.job.owner, this.#running(entry.job.owner) + 1);
    return entry;
  }

  /** A job that was taken does not run any more. */
  ended({ job: { fullName, owner } }: Entry): void {
    this.#busyNames.delete(fullName);
    const left = this.#running(owner) - 1;
    if (left > 0) this.#runningOf.set(owner, left);
    else this.#runningOf.delete(owner);
  }

  /** Returns when the next job that waits to run again may run. */
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
