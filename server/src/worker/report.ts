import { setTimeout as wait } from "node:timers/promises";
import { deadline, messageOf, type DiskUsage } from "docker-over-ssh/builds";
import type { EngineReport, JobStore } from "../store/job-store.ts";
import type { EngineLink } from "./engine-link.ts";

/**
 * ms between two reports of a worker, and between two queries of its engine's disk usage, for which the engine adds up
 * files
 */
const REPORT_EVERY = 10_000;
const DISK_QUERY_EVERY = 60_000;
/** Maximum ms of a query of the disk usage */
const DISK_QUERY_TIMEOUT = 30_000;

export interface Reporting {
  store: Pick<JobStore, "report">;
  link: EngineLink;
  worker: string;
  places: number;
  /** IDs of the running jobs */
  running: ReadonlySet<string>;
  signal: AbortSignal;
  /** ms between two reports. Default: 10 s */
  every?: number | undefined;
}

/**
 * Sends reports of a worker and its engine to the store, at intervals, until the signal is aborted. Afterwards, it
 * reports that the worker has stopped, because a report is stored for 30 s. Does not reject: a store that is
 * unavailable gets the next report.
 */
export async function reportEvery({
  store,
  link,
  worker,
  places,
  running,
  signal,
  every = REPORT_EVERY,
}: Reporting): Promise<void> {
  const disk = new DiskLook(link, signal);
  const send = async (engine: EngineReport): Promise<void> => {
    await store.report({ worker, at: Date.now(), engine, places, running: [...running] }).catch(() => {});
  };
  while (!signal.aborted) {
    const engine = await engineReport(link, disk, signal);
    if (signal.aborted) break;
    await send(engine);
    await wait(every, undefined, { signal }).catch(() => {});
  }
  await send({ address: link.address, isReachable: false, error: "the worker has stopped" });
}

async function engineReport(link: EngineLink, disk: DiskLook, signal: AbortSignal): Promise<EngineReport> {
  const { address } = link;
  try {
    await link.look(signal);
    const { version } = await link.with(async (engine) => await engine.info());
    disk.look();
    return { address, isReachable: true, version, ...(disk.found && { disk: disk.found }) };
  } catch (error) {
    return { address, isReachable: false, error: messageOf(error) };
  }
}

/** Queries the disk usage in the background, so that nobody waits for it. */
class DiskLook {
  /** The last result */
  found: DiskUsage | undefined;
  readonly #link: EngineLink;
  readonly #signal: AbortSignal;
  #next = -Infinity;

  constructor(link: EngineLink, signal: AbortSignal) {
    this.#link = link;
    this.#signal = signal;
  }

  look(): void {
    if (performance.now() < this.#next) return;
    this.#next = Infinity;
    void this.#find().finally(() => (this.#next = performance.now() + DISK_QUERY_EVERY));
  }

  async #find(): Promise<void> {
    using limit = deadline(DISK_QUERY_TIMEOUT, this.#signal);
    try {
      this.found = await this.#link.with(async (engine) => await engine.diskUsage(limit.signal));
    } catch {
      // the last result stays
    }
  }
}
