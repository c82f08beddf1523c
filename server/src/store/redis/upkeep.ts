import { isJobId } from "../../jobs/job.ts";
import type { Retention } from "../../settings.ts";
import { expired, type Removable } from "../retention.ts";
import type { Bodies } from "./bodies.ts";
import type { KeptLogs } from "./kept-logs.ts";
import { logText } from "./logs.ts";
import { REMOVE } from "./scripts.ts";
import type { KeySpace } from "./key-space.ts";

/** Number of jobs that are checked with one request */
const CHUNK = 500;
/**
 * ms for which the log of a job stays in Redis after it is stored elsewhere, because readers may be in the middle of it
 */
const LOG_STAYS = 3600 * 1000;
/** ms between two searches for files without a job */
const LEFTOVERS_EVERY = 10 * 60 * 1000;

export interface UpkeepOptions {
  keySpace: KeySpace;
  bodies: Bodies;
  retention: Retention;
  kept: KeptLogs | undefined;
  /** ms between two rounds */
  every: number;
  warn: (message: string) => void;
}

/**
 * Does recurring work, by one server at a time: queues jobs and webhooks whose server was killed before it queued them;
 * stores logs elsewhere; removes old jobs.
 */
export class Upkeep implements Disposable {
  readonly #options: UpkeepOptions;
  readonly #timer: NodeJS.Timeout;
  #leftoversAt = 0;
  #isBusy = false;

  constructor(options: UpkeepOptions) {
    this.#options = options;
    this.#timer = setInterval(() => {
      if (this.#isBusy) return;
      this.#isBusy = true;
      this.#round()
        .catch(() => {}) // while Redis is unavailable, there is nothing to do
        .finally(() => (this.#isBusy = false));
    }, options.every).unref();
  }

  async #round(): Promise<void> {
    const { keySpace, every, bodies } = this.#options;
    const mine = await keySpace.database.use((redis) =>
      redis.set(keySpace.key("upkeep"), "1", "PX", Math.round(every * 0.9), "NX"),
    );
    if (mine === null) return;
    await this.#queueAgain();
    await this.#keepLogs();
    await this.#removeOld();
    if (Date.now() - this.#leftoversAt < LEFTOVERS_EVERY) return;
    this.#leftoversAt = Date.now();
    await bodies.removeLeftovers(async (ids) =>
      (await keySpace.fields(ids, "state")).map(([state]) => typeof state === "string"),
    );
  }

  async #queueAgain(): Promise<void> {
    const { keySpace } = this.#options;
    for (const state of ["queued", "running", "pushing"]) {
      const ids = await keySpace.database.use((redis) => redis.zrange(keySpace.key("state", state), "0", "-1"));
      for (const id of await this.#unqueued(ids, keySpace.builds.toKey.bind(keySpace.builds))) {
        const [now, tag] = (await keySpace.fields([id], "state", "tag"))[0] ?? [];
        if (now === "queued" || now === "running" || now === "pushing") await keySpace.enqueue(id, Number(tag));
      }
    }
    const hooks = await keySpace.database.use((redis) => redis.smembers(keySpace.key("hooks")));
    for (const id of await this.#unqueued(hooks, keySpace.hooks.toKey.bind(keySpace.hooks))) {
      const nextAt = (await keySpace.job(id))?.webhook?.nextAt;
      if (nextAt !== undefined) await keySpace.enqueueHook(id, Math.max(0, nextAt - Date.now()));
    }
  }

  /** Returns the jobs without an entry in a queue. */
  async #unqueued(ids: readonly string[], keyOf: (id: string) => string): Promise<string[]> {
    const { keySpace } = this.#options;
    const found: string[] = [];
    for (const chunk of chunks(ids)) {
      const pipeline = keySpace.database.redis.pipeline();
      for (const id of chunk) pipeline.exists(keyOf(id));
      const exists = await keySpace.batch(pipeline);
      found.push(...chunk.filter((_, index) => exists[index] === 0));
    }
    return found;
  }

  async #keepLogs(): Promise<void> {
    const { keySpace, kept, warn } = this.#options;
    if (kept === undefined) return;
    for (const id of await keySpace.database.use((redis) => redis.smembers(keySpace.key("keep")))) {
      if (!isJobId(id)) continue;
      try {
        await kept.write(id, logText(keySpace, id));
      } catch (error) {
        warn(`the log of ${id} cannot be stored, and will be tried again: ${String(error)}`);
        return;
      }
      await keySpace.database.use((redis) =>
        redis.multi().pexpire(keySpace.key("log", id), LOG_STAYS).srem(keySpace.key("keep"), id).exec(),
      );
    }
  }

  async #removeOld(): Promise<void> {
    const { keySpace, bodies, retention } = this.#options;
    const all = await keySpace.database.use((redis) => redis.zrange(keySpace.key("over"), "0", "-1"));
    const ids = all.filter((id) => isJobId(id));
    const jobs: Removable[] = [];
    for (const chunk of chunks(ids)) {
      const found = await keySpace.fields(chunk, "finishedAt", "bytes", "logBytes", "hookAt");
      for (const [index, id] of chunk.entries()) {
        const [finishedAt, bytes, logBytes, hookAt] = found[index] ?? [];
        if (typeof hookAt === "string") continue;
        jobs.push({ id, finishedAt: Number(finishedAt), bytes: Number(bytes ?? 0) + Number(logBytes ?? 0) });
      }
    }
    for (const id of expired(jobs, retention, Date.now())) {
      if ((await keySpace.run(REMOVE, id)) === 1) await bodies.remove(id);
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

function* chunks(ids: readonly string[]): Generator<string[]> {
  for (let start = 0; start < ids.length; start += CHUNK) yield ids.slice(start, start + CHUNK);
}
