import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { isOver, type Job } from "../../jobs/job.ts";
import type { JobStore } from "../../store/job-store.ts";
import { withTimeout } from "../http/with-timeout.ts";
import { processMetrics } from "./process-metrics.ts";

const PREFIX = "docker_over_ssh";

/** Seconds */
const JOB_BUCKETS = [0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 600, 1800, 3600];
const HTTP_BUCKETS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60];

/** ms that the store may take when metrics are read */
const STORE_TIMEOUT = 2000;

/**
 * The metrics for Prometheus. Counters and histograms describe this process; the store provides jobs by state, and
 * workers. Times are in seconds.
 */
export class Metrics {
  readonly #registry = new Registry();
  readonly #store: Pick<JobStore, "counts" | "workers">;
  readonly #accepted = new Counter({
    name: `${PREFIX}_jobs_accepted_total`,
    help: "Jobs that this process has accepted",
    registers: [this.#registry],
  });
  readonly #finished = new Counter({
    name: `${PREFIX}_jobs_finished_total`,
    help: "Jobs that this process has ended, by state and by the code of the reason",
    labelNames: ["state", "reason"],
    registers: [this.#registry],
  });
  readonly #phases = new Histogram({
    name: `${PREFIX}_job_phase_seconds`,
    help: "Durations of the phases of jobs that this process has ended",
    labelNames: ["phase"],
    buckets: JOB_BUCKETS,
    registers: [this.#registry],
  });
  readonly #queueWait = new Histogram({
    name: `${PREFIX}_job_queue_seconds`,
    help: "Time that jobs ended by this process were queued before they began",
    buckets: JOB_BUCKETS,
    registers: [this.#registry],
  });
  readonly #requests = new Histogram({
    name: "http_request_duration_seconds",
    help: "Durations of requests, by route; without event streams",
    labelNames: ["method", "route", "status"],
    buckets: HTTP_BUCKETS,
    registers: [this.#registry],
  });
  readonly #readers = new Gauge({
    name: `${PREFIX}_stream_readers`,
    help: "Connected readers of logs and events",
    labelNames: ["stream"],
    registers: [this.#registry],
  });
  readonly #jobs = new Gauge({
    name: `${PREFIX}_jobs`,
    help: "Jobs in the store, by state",
    labelNames: ["state"],
    registers: [this.#registry],
  });
  readonly #workers = new Gauge({
    name: `${PREFIX}_workers`,
    help: "Live workers, by whether they reach their engine",
    labelNames: ["engine"],
    registers: [this.#registry],
  });
  readonly #storeUp = new Gauge({
    name: `${PREFIX}_store_up`,
    help: "Whether the store can be reached: 1 or 0",
    registers: [this.#registry],
  });

  constructor(store: Pick<JobStore, "counts" | "workers">) {
    this.#store = store;
    for (const stream of ["log", "jobs"]) this.#readers.set({ stream }, 0);
  }

  readonly contentType = this.#registry.contentType;

  jobAccepted(): void {
    this.#accepted.inc();
  }

  /** Counts a job that is over. */
  jobEnded(job: Job): void {
    if (!isOver(job)) return;
    this.#finished.inc({ state: job.state, reason: job.reason?.code ?? "" });
    for (const [phase, ms] of Object.entries(job.phases)) {
      if (phase !== "queue") this.#phases.observe({ phase }, ms / 1000);
    }
    const wait = job.phases.queue ?? (job.startedAt === undefined ? undefined : job.startedAt - job.acceptedAt);
    if (wait !== undefined) this.#queueWait.observe(Math.max(0, wait) / 1000);
  }

  /** Counts a reader of a stream; disposing removes it from the count. */
  reader(stream: "log" | "jobs"): Disposable {
    this.#readers.inc({ stream });
    return { [Symbol.dispose]: () => this.#readers.dec({ stream }) };
  }

  /** @param route the pattern of the address, never the address itself: that contains IDs and arbitrary text */
  requestEnded({ method, route, status, ms }: { method: string; route: string; status: number; ms: number }): void {
    this.#requests.observe({ method, route, status }, ms / 1000);
  }

  /** Returns all metrics in Prometheus' text format. While the store cannot be reached, its metrics are missing. */
  async text(): Promise<string> {
    await this.#askStore();
    return `${await this.#registry.metrics()}\n${await processMetrics().metrics()}`;
  }

  async #askStore(): Promise<void> {
    this.#jobs.reset();
    this.#workers.reset();
    try {
      const [counts, workers] = await withTimeout(
        STORE_TIMEOUT,
        Promise.all([this.#store.counts(), this.#store.workers()]),
      );
      for (const [state, count] of Object.entries(counts)) this.#jobs.set({ state }, count);
      const reachable = workers.filter(({ engine }) => engine.isReachable).length;
      this.#workers.set({ engine: "reachable" }, reachable);
      this.#workers.set({ engine: "unreachable" }, workers.length - reachable);
      this.#storeUp.set(1);
    } catch {
      this.#storeUp.set(0);
    }
  }
}
