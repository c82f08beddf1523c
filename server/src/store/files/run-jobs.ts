import { isOver, type Job } from "../../jobs/job.ts";
import { Stopped, type Claim, type Outcome, type WorkerOptions } from "../job-store.ts";
import { changed, ended, started } from "../transitions.ts";
import type { DataFolder } from "./data-folder.ts";
import type { Entry } from "./entry.ts";
import type { Jobs } from "./jobs.ts";
import { LogWriter } from "./log-file.ts";

export interface RunJobs {
  jobs: Jobs;
  folder: DataFolder;
  /** Maximum bytes of one log */
  maxLog: number;
  /** Aborted when the store is closed */
  closed: AbortSignal;
}

/** The outcome of a job that was stopped before its run began. */
const STOPPED: Outcome = {
  state: "again",
  reason: { code: "server-stopped", message: "the server was stopped before the build began" },
  delay: 0,
  isFree: true,
};

type Run = (claim: Claim) => Promise<Outcome>;

/** Runs jobs with `run` until the worker's signal is aborted; resolves when the running jobs have ended. */
export async function runJobs(store: RunJobs, worker: WorkerOptions, run: Run): Promise<void> {
  const { jobs, closed } = store;
  const signal = AbortSignal.any([worker.signal, closed]);
  const running = new Map<Entry, Promise<void>>();
  const stopAll = (): void => {
    for (const { run } of running.keys()) run?.stop(new Stopped("stopping"));
  };
  signal.addEventListener("abort", stopAll);
  while (!signal.aborted) {
    if (running.size >= worker.places || !jobs.queue.hasNext(jobs.now())) {
      const next = jobs.queue.nextAt(jobs.now());
      await jobs.work.next(signal, next && next - jobs.now());
      continue;
    }
    if (!(await isReady(worker, signal))) break;
    const entry = jobs.queue.take(jobs.now()); // undefined: another worker was faster
    if (entry === undefined) continue;
    const done = runJob(store, worker, entry, run).finally(() => {
      running.delete(entry);
      jobs.work.notify();
    });
    running.set(entry, done);
  }
  await Promise.all(running.values());
}

/** Waits until the worker is ready; returns false when it must stop. */
async function isReady(worker: WorkerOptions, signal: AbortSignal): Promise<boolean> {
  const ready = worker.isReady();
  let stop = (): void => {};
  const stopped = new Promise<void>((resolve) => signal.addEventListener("abort", (stop = () => resolve())));
  try {
    await Promise.race([ready, stopped]);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
  ready.catch(() => {}); // it rejects as well, with the signal's reason
  return !signal.aborted;
}

async function runJob(
  { jobs, folder, maxLog, closed }: RunJobs,
  worker: WorkerOptions,
  entry: Entry,
  run: Run,
): Promise<void> {
  const stop = new AbortController();
  const log = new LogWriter(folder.fileOf(entry.id, "log"), entry.job.log, maxLog, {
    onWritten: (state) => {
      entry.job = { ...entry.job, log: state };
      jobs.notify(entry, "log");
    },
    onLost: (error) => jobs.warn(`lines of the log of job ${entry.id} are lost`, error),
  });
  entry.run = { log, stop: (reason) => stop.abort(reason) };
  let isRunning = true;
  const change = async (step: (job: Job, now: number) => Job): Promise<void> => {
    if (isRunning) await jobs.change(entry, (job, now) => (isOver(job) ? job : step(job, now)));
  };
  await jobs.change(entry, (job, now) => started(job, worker, now));
  const claim: Claim = {
    job: entry.job,
    credentials: entry.credentials,
    body: entry.record.hasBody ? folder.fileOf(entry.id, "body") : undefined,
    signal: stop.signal,
    log: (lines) => isRunning && log.add(lines),
    update: async (known) => await change((job) => changed(job, known)),
  };
  const outcome = stop.signal.aborted ? STOPPED : await run(claim);
  await log.close();
  const end = change((job, now) => ended(job, outcome, now));
  isRunning = false;
  await end;
  entry.run = undefined;
  jobs.queue.ended(entry);
  if (entry.job.state !== "queued" || closed.aborted) return;
  jobs.queue.add(entry, outcome.state === "again" && outcome.delay > 0 ? jobs.now() + outcome.delay : 0);
}
