import { hostname } from "node:os";
import { removeDeadSpools } from "docker-over-ssh/builds";
import type { Job } from "../jobs/job.ts";
import { fetchArchive as fetchFromPublic } from "../net/fetch-archive.ts";
import type { ServeSettings } from "../settings.ts";
import type { Claim, JobStore, Outcome } from "../store/job-store.ts";
import { EngineLink } from "./engine-link.ts";
import { GracefulStop } from "./graceful-stop.ts";
import type { FetchArchive, FileTools } from "./open-files.ts";
import { outcomeOf } from "./outcomes.ts";
import { Masks } from "./masks.ts";
import { reportEvery } from "./report.ts";
import { runJob } from "./run-job.ts";
import { StepRemoval } from "./step-images.ts";

const OWN = `${hostname()}:${process.pid}`;

export interface WorkerOptions {
  store: JobStore;
  settings: Pick<ServeSettings, "engines" | "places"> & FileTools["settings"];
  /** The environment for the docker config, DOCKER_HOST, and the cache folder, where archives are unpacked */
  env: NodeJS.ProcessEnv;
  /** Default: the server's own function, which connects only to public addresses */
  fetchArchive?: FetchArchive | undefined;
  /** Aborted when no more jobs may be taken. */
  signal: AbortSignal;
  /** ms that running jobs may take after that. Later, they are queued again. */
  grace: number;
  /** Called when a run has ended, for metrics. `ms`: its duration */
  onEnded?: ((ended: { job: Job; outcome: Outcome; ms: number }) => void) | undefined;
  /** Called with messages for the server's operator, without passwords. */
  warn?: ((text: string) => void) | undefined;
}

/**
 * Runs jobs of a store on the engines of the settings, until the signal is aborted; resolves when the running jobs have
 * ended.
 *
 * @throws Failure for an engine whose name cannot be resolved; waits for one that does not answer. Rejects with the
 * errors of the store's `work`, when the jobs of all engines have ended
 */
export async function startWorker(options: WorkerOptions): Promise<void> {
  const { settings, env, signal, grace } = options;
  await removeDeadSpools(env);
  const hosts = settings.engines.length === 0 ? [undefined] : settings.engines;
  const links = await Promise.all(hosts.map(async (host) => await EngineLink.prepare(host, env)));
  const failed = new AbortController();
  using stop = new GracefulStop(AbortSignal.any([signal, failed.signal]), grace);
  const work = async (link: EngineLink, index: number): Promise<void> => {
    try {
      await workOn(link, workerName(index), stop, options);
    } catch (error) {
      failed.abort(error); // the other engines take no more jobs either
      throw error;
    }
  };
  try {
    const ends = await Promise.allSettled(links.map(work));
    for (const end of ends) if (end.status === "rejected") throw end.reason;
  } finally {
    await Promise.all(links.map(async (link) => await link[Symbol.asyncDispose]()));
  }
}

async function workOn(link: EngineLink, worker: string, stop: GracefulStop, options: WorkerOptions): Promise<void> {
  const { store, settings, onEnded } = options;
  const { places } = settings;
  const running = new Set<string>();
  const steps = new StepRemoval();
  const ended = new AbortController();
  const run = async (claim: Claim): Promise<Outcome> => {
    const begun = performance.now();
    running.add(claim.job.id);
    const outcome = await stop.while(async () => await runOn(link, claim, steps, stop.second, options));
    running.delete(claim.job.id);
    onEnded?.({ job: claim.job, outcome, ms: Math.round(performance.now() - begun) });
    return outcome;
  };
  const isReady = async (): Promise<void> => {
    if (stop.first.aborted) return await stop.takesNone();
    await link.isReady(stop.first).catch(async (error: unknown) => {
      if (!stop.first.aborted) throw error;
      await stop.takesNone();
    });
  };
  const reporting = reportEvery({ store, link, worker, places, running, signal: ended.signal });
  try {
    await store.work({ worker, engine: link.address, places, signal: stop.second, isReady }, run);
  } finally {
    ended.abort();
    await reporting;
  }
}

async function runOn(
  link: EngineLink,
  claim: Claim,
  steps: StepRemoval,
  stop: AbortSignal,
  { store, settings, env, fetchArchive = fetchFromPublic, warn = () => {} }: WorkerOptions,
): Promise<Outcome> {
  const newFile = async () => await store.newBody();
  try {
    return await link.with(
      async (engine) => await runJob(claim, { engine, steps, stop, settings, env, fetchArchive, newFile, warn }),
    );
  } catch (error) {
    return outcomeOf(error, new Masks()); // the engine has become unavailable since it was checked
  }
}

/** Identifies this process among all workers of a store; each engine has a worker of its own. */
function workerName(index: number): string {
  return index === 0 ? OWN : `${OWN}:${index + 1}`;
}

/** Returns whether a worker belongs to this process. */
export function isOwnWorker(worker: string | undefined): boolean {
  return worker === OWN || worker?.startsWith(`${OWN}:`) === true;
}
