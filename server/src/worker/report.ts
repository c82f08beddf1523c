import { setTimeout as wait } from "node:timers/promises";
import { deadline, messageOf, type DiskUsage } from "docker-over-ssh/builds";
import type { EngineReport, JobStore } from "../store/job-store.ts";
import type { EngineLink } from "./engine-link.ts";

/** ms between two reports of a worker, and between two looks at the disk of its engine, which adds up files for that */
const EVERY = 10_000;
const DISK_EVERY = 60_000;
/** ms that a look at the disk may take */
const DISK_LIMIT = 30_000;

export interface Reporting {
  store: Pick<JobStore, "report">;
  link: EngineLink;
  worker: string;
  places: number;
  /** IDs of the jobs that run */
  running: ReadonlySet<string>;
  signal: AbortSignal;
  /** ms between two reports; left out: 10 s */
  every?: number | undefined;
}

/**
 * Tells the store of a worker and its engine, again and again, until the signal is aborted; then, that the worker has stopped: a report is kept for 30 s.
 * Does not reject: a store that is gone gets the next report.
 */
export async function reportEvery({
  store,
  link,
  worker,
  places,
  running,
  signal,
  every = EVERY,
}: Reporting): Promise<void> {
  const disk = new DiskLook(link, signal);
  const tell = async (engine: EngineReport): Promise<void> => {
    await store.report({ worker, at: Date.now(), engine, places, running: [...running] }).catch(() => {});
  };
  while (!signal.aborted) {
    const engine = await engineReport(link, disk, signal);
    if (signal.aborted) break;
    await tell(engine);
    await wait(every, undefined, { signal }).catch(() => {});
  }
  await tell({ address: link.address, isReachable: false, error: "the worker has stopped" });
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

/** Looks at the disk now and then, without anybody waiting for it. */
class DiskLook {
  /** The last that was found */
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
    void this.#find().finally(() => (this.#next = performance.now() + DISK_EVERY));
  }

  async #find(): Promise<void> {
    using limit = deadline(DISK_LIMIT, this.#signal);
    try {
      this.found = await this.#link.with(async (engine) => await engine.diskUsage(limit.signal));
    } catch {
      // what was found before stays
    }
  }
}
