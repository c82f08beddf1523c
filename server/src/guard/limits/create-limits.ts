import type { Ledger } from "../ledger/ledger.ts";
import type { Quotas } from "../policy/policy.ts";
import type { Tenant } from "../tenant.ts";
import { UsedHours } from "./hours.ts";
import type { BuildSlot, HeldImages, Limits, Usage } from "./limits.ts";
import { noBuildTime, noPushBytes, tooManyBuilds, tooManyBytes, tooManyImages } from "./refusals.ts";

/** ms between two updates of the time of running builds: this is the maximum loss if the guard is killed */
const COUNT_EVERY = 30_000;

/** Creates the limits of all tenants. Disposing writes pending usage to the ledger. */
export function createLimits(ledger: Ledger): Limits {
  return new LedgerLimits(ledger);
}

interface RunningBuild {
  quota: number | undefined;
  stop: AbortController;
}

/** The usage of a tenant since the start of the guard. */
interface Used {
  hours: UsedHours;
  builds: Set<RunningBuild>;
  /** Called when the last build has ended */
  readonly idle: Set<() => void>;
  /** The time in performance.now() up to which the time of builds was counted */
  countedUntil: number;
  timer?: NodeJS.Timeout | undefined;
  held?: HeldImages | undefined;
  /** The current write to the ledger; undefined if nothing is being written */
  writing?: Promise<void> | undefined;
  isChanged: boolean;
}

class LedgerLimits implements Limits {
  readonly #ledger: Ledger;
  readonly #tenants = new Map<string, Used>();

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  async startBuild({ id, quotas }: Tenant): Promise<BuildSlot> {
    const used = this.#usedBy(id);
    this.#count(id, used);
    const left = timeLeft(used, quotas.buildTime);
    if (quotas.builds !== undefined && used.builds.size >= quotas.builds) throw tooManyBuilds(quotas.builds);
    if (left <= 0) throw outOfTime(used, quotas.buildTime ?? 0);
    if (used.held !== undefined) refuseOneMore(quotas, used.held);
    const build: RunningBuild = { quota: quotas.buildTime, stop: new AbortController() };
    used.builds.add(build);
    this.#schedule(id, used);
    return {
      signal: build.stop.signal,
      [Symbol.asyncDispose]: async () => {
        if (!used.builds.has(build)) return;
        this.#count(id, used);
        used.builds.delete(build);
        if (used.builds.size === 0) for (const onIdle of used.idle) onIdle();
        this.#schedule(id, used);
        await used.writing;
      },
    };
  }

  countPushed({ id, quotas }: Tenant, bytes: number): void {
    const used = this.#usedBy(id);
    const now = Date.now();
    used.hours.add(now, { pushBytes: bytes });
    this.#write(id, used);
    if (quotas.pushBytes !== undefined && used.hours.sum(now, "pushBytes") > quotas.pushBytes) {
      throw noPushBytes(quotas.pushBytes, used.hours.nextFree(now, "pushBytes"));
    }
  }

  reportImages(id: string, held: HeldImages): void {
    this.#usedBy(id).held = held;
  }

  checkImages({ id, quotas }: Tenant, images: number, bytes: number): void {
    this.reportImages(id, { images, bytes });
    if (quotas.images !== undefined && images > quotas.images) throw tooManyImages(images, quotas.images);
    if (quotas.bytes !== undefined && bytes > quotas.bytes) throw tooManyBytes(bytes, quotas.bytes);
  }

  usage({ id }: Tenant): Usage {
    const used = this.#usedBy(id);
    this.#count(id, used);
    const now = Date.now();
    return {
      builds: used.builds.size,
      buildTime: used.hours.sum(now, "buildTime"),
      pushBytes: used.hours.sum(now, "pushBytes"),
    };
  }

  async idle(id: string, timeout: number): Promise<void> {
    const used = this.#tenants.get(id);
    if (used === undefined || used.builds.size === 0) return;
    await new Promise<void>((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        used.idle.delete(end);
        resolve();
      };
      const timer = setTimeout(end, timeout);
      used.idle.add(end);
    });
  }

  forget(id: string): void {
    const used = this.#tenants.get(id);
    if (used === undefined) return;
    clearTimeout(used.timer);
    used.builds.clear();
    used.isChanged = false;
    this.#tenants.delete(id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const [id, used] of this.#tenants) {
      this.#count(id, used);
      clearTimeout(used.timer);
    }
    await Promise.all([...this.#tenants.values()].map(async ({ writing }) => await writing));
  }

  #usedBy(id: string): Used {
    let used = this.#tenants.get(id);
    if (used === undefined) {
      const hours = new UsedHours(this.#ledger.read(id).hours);
      used = { hours, builds: new Set(), idle: new Set(), countedUntil: performance.now(), isChanged: false };
      this.#tenants.set(id, used);
    }
    return used;
  }

  /** Counts the time of running builds up to now: two simultaneous builds use two minutes in one minute. */
  #count(id: string, used: Used): void {
    const now = performance.now();
    const spent = (now - used.countedUntil) * used.builds.size;
    used.countedUntil = now;
    if (spent <= 0) return;
    used.hours.add(Date.now(), { buildTime: spent });
    this.#write(id, used);
  }

  /** Counts again when a build may have used up its time, and ends builds that have. */
  #schedule(id: string, used: Used): void {
    clearTimeout(used.timer);
    if (used.builds.size === 0) return;
    const lefts = [...used.builds].map(({ quota }) => timeLeft(used, quota) / used.builds.size);
    const wait = Math.max(1, Math.min(COUNT_EVERY, ...lefts.filter((left) => left > 0)));
    used.timer = setTimeout(() => {
      this.#count(id, used);
      for (const { quota, stop } of used.builds)
        if (timeLeft(used, quota) <= 0 && !stop.signal.aborted) stop.abort(outOfTime(used, quota ?? 0));
      this.#schedule(id, used);
    }, Math.ceil(wait)).unref();
  }

  /**
   * Writes the hours to the ledger, and repeats this if they change in the meantime. If the disk is full, they stay in
   * memory until the next change.
   */
  #write(id: string, used: Used): void {
    used.isChanged = true;
    used.writing ??= (async () => {
      try {
        while (used.isChanged) {
          used.isChanged = false;
          await this.#ledger.change(id, (record) => void (record.hours = used.hours.counted(Date.now())));
        }
      } catch {
        used.isChanged = true;
      } finally {
        used.writing = undefined;
      }
    })();
  }
}

function timeLeft(used: Used, quota: number | undefined): number {
  return quota === undefined ? Infinity : quota - used.hours.sum(Date.now(), "buildTime");
}

function outOfTime(used: Used, quota: number): Error {
  return noBuildTime(quota, used.hours.nextFree(Date.now(), "buildTime"));
}

/** Refuses a build if the tenant could not keep another image. */
function refuseOneMore({ images, bytes }: Quotas, held: HeldImages): void {
  if (images !== undefined && held.images >= images) throw tooManyImages(held.images + 1, images);
  if (bytes !== undefined && held.bytes >= bytes) throw tooManyBytes(held.bytes, bytes);
}
