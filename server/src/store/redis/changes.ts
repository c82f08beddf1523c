import type { Redis } from "ioredis";
import { patientClient, type RedisAddress } from "./connection.ts";
import type { KeySpace } from "./key-space.ts";
import type { Change } from "../job-store.ts";

/** Minimum ms between two reported changes of one log */
const LOG_EVERY = 100;
/** ms before the loss of the connection in which unreported jobs may have ended */
const LOOKBACK = 10_000;
/** ms before the search for them is retried */
const RETRY_EVERY = 500;

type Listener = (change: Change) => void;

/**
 * Reports the changes of all servers, with one subscription on one connection. After a lost connection, reports that
 * all jobs may have changed that are running or have ended since.
 */
export class Changes implements Disposable {
  readonly #keySpace: KeySpace;
  readonly #client: Redis;
  readonly #listeners = new Set<Listener>();
  readonly #cancels = new Set<(id: string) => void>();
  /** Logs whose change was just reported; true: they have changed again since */
  readonly #logs = new Map<string, boolean>();
  #lostAt: number | undefined;

  private constructor(keySpace: KeySpace, address: RedisAddress) {
    this.#keySpace = keySpace;
    this.#client = patientClient(address);
  }

  static async open(keySpace: KeySpace, address: RedisAddress): Promise<Changes> {
    const changes = new Changes(keySpace, address);
    await changes.#subscribe();
    return changes;
  }

  watch(listener: Listener): Disposable {
    // A listener that is added twice is called twice.
    const own: Listener = (change) => listener(change);
    this.#listeners.add(own);
    return { [Symbol.dispose]: () => void this.#listeners.delete(own) };
  }

  /** Calls `listener` with the ID of each cancelled job. */
  watchCancels(listener: (id: string) => void): Disposable {
    this.#cancels.add(listener);
    return { [Symbol.dispose]: () => void this.#cancels.delete(listener) };
  }

  async #subscribe(): Promise<void> {
    const client = this.#client;
    client.on("message", (_channel: string, message: string) => {
      const [what, id] = message.split(" ");
      if (id !== undefined) this.#notify(what, id);
    });
    client.on("close", () => (this.#lostAt ??= Date.now()));
    client.on("ready", () => void this.#catchUp());
    await client.subscribe(this.#keySpace.key("changes"));
  }

  #notify(what: string | undefined, id: string): void {
    if (what === "cancel") for (const listener of this.#cancels) listener(id);
    if (what === "job") this.#emit({ id, what: "job" });
    if (what !== "log") return;
    if (this.#logs.has(id)) this.#logs.set(id, true);
    else this.#tellLog(id);
  }

  #tellLog(id: string): void {
    this.#logs.set(id, false);
    this.#emit({ id, what: "log" });
    setTimeout(() => {
      if (this.#logs.get(id) === true) this.#tellLog(id);
      else this.#logs.delete(id);
    }, LOG_EVERY).unref();
  }

  #emit(change: Change): void {
    for (const listener of this.#listeners) listener(change);
  }

  async #catchUp(): Promise<void> {
    const lostAt = this.#lostAt;
    if (lostAt === undefined) return;
    this.#lostAt = undefined;
    try {
      for (const id of await this.#changedSince(lostAt - LOOKBACK)) {
        this.#notify("job", id);
        this.#notify("log", id);
      }
    } catch {
      this.#lostAt ??= lostAt;
      setTimeout(() => void this.#catchUp(), RETRY_EVERY).unref();
    }
  }

  async #changedSince(since: number): Promise<string[]> {
    const keySpace = this.#keySpace;
    return await keySpace.database.use(async (redis) => [
      ...(await redis.zrange(keySpace.key("state", "running"), "0", "-1")),
      ...(await redis.zrange(keySpace.key("state", "pushing"), "0", "-1")),
      ...(await redis.zrange(keySpace.key("over"), since, "+inf", "BYSCORE")),
    ]);
  }

  [Symbol.dispose](): void {
    this.#listeners.clear();
    this.#cancels.clear();
    this.#client.disconnect();
  }
}
