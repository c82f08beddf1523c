import { mkdir, readdir, readFile, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { Failure, isNoSpace } from "docker-over-ssh/builds";
import { openOwnFolder, type OwnFolder } from "../../files/own-folder.ts";
import { replaceFile, sync } from "../../files/replace-file.ts";
import { Refusal } from "../refusal.ts";
import { isTenantId } from "../tenant.ts";
import type { Ledger, LedgerRecord } from "./ledger.ts";
import { emptyRecord, MAX_FILE, readRecord, writtenRecord } from "./record-file.ts";

const ENDING = ".json";
/**
 * Maximum number of a tenant's images, including steps, and of its cache records, of which the newest are kept. Each
 * change writes all of them, and the next start would not read a file that is too large.
 */
const MAX_IMAGES = 30_000;
const MAX_CACHE_RECORDS = 100_000;
/** Number of removed tenants that are remembered: remaining work for one ends within minutes. */
const MAX_REMOVED = 10_000;

/**
 * Opens the ledger in a folder, and creates the folder if necessary. One guard at a time may use it.
 *
 * - `version`: the number of this layout
 * - `guard.lock/`: names the process that uses the folder
 * - `tenants/ID.json`: the record of a tenant
 *
 * Rejects with a `refused` Failure if the folder is in use or is not a ledger, or if a file is damaged, which it names.
 */
export async function openLedger(path: string): Promise<Ledger> {
  const folder = await openOwnFolder(path, {
    user: "guard",
    version: "1",
    names: new Set(["tenants"]),
    inUseHint: "Stop the other one, or name another folder: --data",
    prepare,
  });
  try {
    return new FileLedger(folder, await readAll(join(path, "tenants")));
  } catch (error) {
    await folder[Symbol.asyncDispose]();
    throw error;
  }
}

async function prepare(path: string): Promise<void> {
  const tenants = join(path, "tenants");
  await mkdir(tenants, { recursive: true, mode: 0o700 });
  // A guard that was killed while it replaced a file has left these.
  for (const name of await readdir(tenants))
    if (name.endsWith(`${ENDING}.new`)) await rm(join(tenants, name), { force: true });
}

async function readAll(tenants: string): Promise<Map<string, LedgerRecord>> {
  const records = new Map<string, LedgerRecord>();
  for (const name of await readdir(tenants)) {
    const path = join(tenants, name);
    const tenant = basename(name, ENDING);
    const { size } = await stat(path);
    if (!name.endsWith(ENDING) || size > MAX_FILE) {
      throw new Failure("refused", `${path} is not a file of the ledger`, {
        expected: `files TENANT${ENDING} of at most ${MAX_FILE} bytes`,
        hint: "Move it away",
      });
    }
    records.set(tenant, readRecord(path, tenant, await readFile(path, "utf8")));
  }
  return records;
}

class FileLedger implements Ledger {
  readonly lost: AbortSignal;
  readonly #folder: OwnFolder;
  readonly #records: Map<string, LedgerRecord>;
  /** The last change of each tenant, for which the next one waits. */
  readonly #last = new Map<string, Promise<void>>();
  /** For the admitted tenants */
  readonly #mayReturn = new Map<string, boolean>();
  readonly #removed = new Set<string>();

  constructor(folder: OwnFolder, records: Map<string, LedgerRecord>) {
    this.#folder = folder;
    this.lost = folder.lost;
    this.#records = records;
  }

  tenants(): string[] {
    return [...this.#records.keys()].toSorted();
  }

  read(tenant: string): Readonly<LedgerRecord> {
    return this.#records.get(tenant) ?? emptyRecord(tenant);
  }

  async admit(tenant: string, mayReturn: boolean): Promise<void> {
    this.#removed.delete(tenant);
    this.#mayReturn.set(tenant, mayReturn);
    if (this.read(tenant).mayReturn === mayReturn) return;
    try {
      await this.change(tenant, () => {});
    } catch (error) {
      if (!(error instanceof Refusal && error.rule === "ledger.full")) throw error;
    }
  }

  async change(tenant: string, change: (record: LedgerRecord) => void): Promise<void> {
    await this.#inTurn(tenant, async () => {
      if (this.#removed.has(tenant)) throw gone();
      const record = structuredClone(this.read(tenant)) as LedgerRecord;
      record.mayReturn = this.#mayReturn.get(tenant) ?? record.mayReturn;
      const before = record.images.length;
      change(record);
      if (record.images.length > Math.max(before, MAX_IMAGES)) throw tooMany();
      record.cacheRecords = record.cacheRecords.slice(-MAX_CACHE_RECORDS);
      await replaceFile(this.#fileOf(tenant), writtenRecord(record));
      this.#records.set(tenant, record);
    });
  }

  async remove(tenant: string): Promise<void> {
    await this.#inTurn(tenant, async () => {
      await rm(this.#fileOf(tenant), { force: true });
      this.#records.delete(tenant);
      this.#mayReturn.delete(tenant);
      this.#remember(tenant);
      await sync(join(this.#folder.path, "tenants"));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#last.values());
    await this.#folder[Symbol.asyncDispose]();
  }

  #remember(removed: string): void {
    this.#removed.add(removed);
    const [oldest] = this.#removed;
    if (this.#removed.size > MAX_REMOVED && oldest !== undefined) this.#removed.delete(oldest);
  }

  #fileOf(tenant: string): string {
    if (!isTenantId(tenant)) throw new TypeError(`${JSON.stringify(tenant)} is not the ID of a tenant`);
    return join(this.#folder.path, "tenants", `${tenant}${ENDING}`);
  }

  async #inTurn(tenant: string, work: () => Promise<void>): Promise<void> {
    const before = this.#last.get(tenant);
    const done = (async () => {
      await before;
      if (this.lost.aborted) throw lostFolder(this.#folder.path);
      try {
        await work();
      } catch (error) {
        throw isNoSpace(error) ? full(this.#folder.path, error) : error;
      }
    })();
    const settled = done.catch(() => {});
    this.#last.set(tenant, settled);
    try {
      await done;
    } finally {
      if (this.#last.get(tenant) === settled) this.#last.delete(tenant);
    }
  }
}

function gone(): Refusal {
  return new Refusal("tenant.gone", "this tenant is no longer served", { statusCode: 503 });
}

function tooMany(): Refusal {
  return new Refusal(
    "ledger.images",
    `a tenant may have at most ${MAX_IMAGES} images, including the steps of the classic builder: remove some with docker rmi`,
  );
}

function full(path: string, cause: unknown): Refusal {
  return new Refusal("ledger.full", `the guard's disk is full: it cannot record what this call would create`, {
    statusCode: 507,
    cause: new Error(`the disk of ${path} is full`, { cause }),
  });
}

function lostFolder(path: string): Refusal {
  return new Refusal("ledger.lost", "another guard has taken over: reconnect", {
    statusCode: 503,
    cause: new Error(`${path} was taken over by another guard`),
  });
}
