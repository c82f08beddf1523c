import { randomUUID } from "node:crypto";
import { setTimeout as wait } from "node:timers/promises";
import { Worker, type Job as Entry } from "bullmq";
import { abortable } from "docker-over-ssh/builds";
import { isJobId } from "../../jobs/job.ts";
import type { Changes } from "./changes.ts";
import { patientClient, type RedisAddress } from "./connection.ts";
import { beatEvery, type LeaseTimes } from "./lease.ts";
import { RunningJob, type End, type RunningJobOptions } from "./running-job.ts";
import { HEARTBEAT, MAY_RUN, TAKE } from "./scripts.ts";
import { MAX_RUNS, REASONS } from "../transitions.ts";
import type { Claim, Outcome, WorkerOptions } from "../job-store.ts";

/** ms before a retry while Redis is unavailable */
const RETRY_EVERY = 500;
/** ms after which a parked job checks by itself whether it may run */
const RECHECK_DELAY = 30_000;
/** Seconds that a worker waits for a job in one request */
const POLL_TIMEOUT = 5;

export interface JobWorkerOptions extends RunningJobOptions {
  /** Aborted when the store is closed */
  closed: AbortSignal;
  address: RedisAddress;
  times: LeaseTimes;
  changes: Changes;
}

/**
 * Takes jobs from the queue and runs them. BullMQ selects the next job, waits for one, and finds jobs whose worker is
 * dead. The record of a job names its owner, and decides whether it may run: see scripts.ts.
 */
export class JobWorker {
  readonly #options: JobWorkerOptions;
  readonly #worker: WorkerOptions;
  readonly #run: (claim: Claim) => Promise<Outcome>;
  /** BullMQ's tokens of the jobs that this worker runs */
  readonly #running = new Map<RunningJob, string>();
  readonly #tasks = new Set<Promise<void>>();

  constructor(options: JobWorkerOptions, worker: WorkerOptions, run: (claim: Claim) => Promise<Outcome>) {
    this.#options = options;
    this.#worker = worker;
    this.#run = run;
  }

  /** Works until the signal of the worker is aborted, and the running jobs have ended. */
  async work(): Promise<void> {
    const { keySpace, address, times, changes, closed } = this.#options;
    const client = patientClient(address);
    const queue = new Worker(keySpace.builds.name, null, {
      connection: client,
      prefix: keySpace.key("bull"),
      skipVersionCheck: keySpace.skipsCheck,
      autorun: false,
      lockDuration: times.lease,
      stalledInterval: times.look,
      maxStalledCount: Number.MAX_SAFE_INTEGER, // the record counts the runs
      drainDelay: POLL_TIMEOUT,
    });
    queue.on("error", () => {}); // each error also rejects a command, or the next attempt resolves it
    using _cancels = changes.watchCancels((id) => this.#stop(id, "cancelled"));
    const stop = AbortSignal.any([this.#worker.signal, closed]);
    const onStop = (): void => this.#stopAll("stopping");
    const onClose = (): void => this.#stopAll("lost");
    this.#worker.signal.addEventListener("abort", onStop);
    closed.addEventListener("abort", onClose);
    const beats = this.#beat(queue);
    try {
      void queue.startStalledCheckTimer();
      await this.#takeJobs(queue, stop);
      while (this.#tasks.size > 0) await Promise.all(this.#tasks);
    } finally {
      this.#worker.signal.removeEventListener("abort", onStop);
      closed.removeEventListener("abort", onClose);
      beats.end();
      await queue.close(true).catch(() => {});
      client.disconnect();
    }
  }

  async #takeJobs(queue: Worker, stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      try {
        if (this.#tasks.size >= this.#worker.places) await abortable(Promise.race(this.#tasks), stop);
        await abortable(this.#worker.isReady(), stop);
        const token = randomUUID();
        const next = queue.getNextJob(token);
        const entry = await abortable(next, stop).catch((error: unknown) => {
          // A job that arrives after the end is returned to the queue.
          if (stop.aborted) next.then(async (late) => await late?.moveToWait(token)).catch(() => {});
          throw error;
        });
        if (entry) this.#start(entry, token);
      } catch {
        await wait(RETRY_EVERY, undefined, { signal: stop }).catch(() => {});
      }
    }
  }

  #start(entry: Entry, token: string): void {
    const task = abortable(this.#take(entry, token), this.#options.closed)
      .catch(() => {}) // if BullMQ refuses, the job is found again when the lease expires
      .finally(() => this.#tasks.delete(task));
    this.#tasks.add(task);
  }

  /** Runs the job of an entry, if it may run. */
  async #take(entry: Entry, token: string): Promise<void> {
    const { keySpace, closed } = this.#options;
    const id = entry.id ?? "";
    if (!isJobId(id)) return void (await entry.moveToCompleted(null, token, false)); // not an entry of the store
    const [kind, value, ...freed] = await this.#ask(id, token);
    if (kind === "taken") {
      const job = new RunningJob({ id, run: value ?? "" }, this.#options);
      this.#running.set(job, token);
      if (this.#worker.signal.aborted) job.stop("stopping");
      if (closed.aborted) job.stop("lost");
      const end = await job.perform(this.#run).finally(() => this.#running.delete(job));
      await this.#settle(entry, token, end);
    } else if (kind === "gone") {
      await entry.moveToCompleted(null, token, false);
      await keySpace.ended(id, value === undefined ? [] : [value, ...freed]);
    } else if (kind === "wait") {
      await entry.moveToDelayed(Date.now() + Number(value) + 1, token);
    } else if (kind === "parked") {
      await entry.moveToDelayed(Date.now() + RECHECK_DELAY, token);
      if ((await keySpace.run(MAY_RUN, id)) === 1) await keySpace.unpark([id]);
    }
  }

  /** Requests the permission to run a job. */
  async #ask(id: string, token: string): Promise<[string, string?, ...string[]]> {
    const { keySpace, times, closed } = this.#options;
    const { worker, engine } = this.#worker;
    const reasons = [JSON.stringify(REASONS.lost), JSON.stringify(REASONS.cancelled)];
    while (!closed.aborted) {
      try {
        return (await keySpace.run(
          TAKE,
          id,
          worker,
          engine,
          token,
          times.lease,
          times.grace,
          MAX_RUNS,
          ...reasons,
        )) as [string];
      } catch {
        await wait(RETRY_EVERY, undefined, { signal: closed }).catch(() => {});
      }
    }
    return ["closed"];
  }

  /**
   * Updates the entry after the end of its run. If BullMQ has given it to another worker, it refuses, and that worker
   * detects the end by itself.
   */
  async #settle(entry: Entry, token: string, end: End): Promise<void> {
    const { keySpace, closed } = this.#options;
    if (end.kind === "lost" || closed.aborted) return;
    const moved =
      end.kind === "over"
        ? entry.moveToCompleted(null, token, false)
        : entry.moveToDelayed(Date.now() + Math.max(1, end.delay), token);
    await abortable(moved, closed).catch(() => {});
    await (end.kind === "over" ? keySpace.ended(entry.id ?? "", end.freed) : keySpace.unpark(end.freed));
  }

  #stopAll(why: "stopping" | "lost"): void {
    for (const job of this.#running.keys()) job.stop(why);
  }

  #stop(id: string, why: "cancelled" | "lost"): void {
    for (const job of this.#running.keys()) if (job.id === id) job.stop(why);
  }

  /** Renews leases until it is ended. */
  #beat(queue: Worker): { end: () => void } {
    const { keySpace, times } = this.#options;
    let isBusy = false;
    let renewed = 0;
    const renew = async (): Promise<void> => {
      const jobs = [...this.#running];
      const answers = (await keySpace.run(
        HEARTBEAT,
        times.lease,
        ...jobs.flatMap(([{ id, run }]) => [id, run]),
      )) as string[];
      const lost = new Set<RunningJob>();
      for (const [index, [job]] of jobs.entries()) {
        if (answers[index] === "cancelled") job.stop("cancelled");
        if (answers[index] !== "lost" || !this.#running.has(job)) continue;
        job.stop("lost");
        lost.add(job);
      }
      if (Date.now() - renewed < times.lease / 3) return;
      renewed = Date.now();
      const own = jobs.filter(([job]) => !lost.has(job));
      await queue.extendJobLocks(
        own.map(([job]) => job.id),
        own.map(([, token]) => token),
        times.lease,
      );
    };
    const beat = (): void => {
      if (isBusy || this.#running.size === 0) return;
      isBusy = true;
      renew()
        .catch(() => {}) // Redis is unavailable: the job continues, and its owner is determined when Redis is back
        .finally(() => (isBusy = false));
    };
    const timer = setInterval(beat, beatEvery(times));
    const { redis } = keySpace.database;
    redis.on("ready", beat);
    return {
      end() {
        clearInterval(timer);
        redis.off("ready", beat);
      },
    };
  }
}
