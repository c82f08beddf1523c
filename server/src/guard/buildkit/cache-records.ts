import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "@connectrpc/connect";
import type { GrpcConnection } from "docker-over-ssh/builds";
import type { EngineApi } from "../engine/engine-api.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { selectRecords, type RecordChoice } from "./choose-records.ts";
import { Control, type UsageRecord } from "./gen/control_pb.ts";

/**
 * The records of BuildKit's cache that belong to a tenant. BuildKit does not report which build has created a record, so the guard watches them appear: a
 * record belongs to a tenant if it appears while builds of that tenant, and of no other tenant, are running. All others stay until the engine's own limits
 * remove them.
 */
export interface CacheRecords {
  /**
   * Reports that a build of a tenant begins. Does not wait.
   *
   * @param connection to the engine; the caller may close it later
   * @returns an object whose disposal reports that the build has ended
   */
  building(tenant: string, connection: GrpcConnection): Disposable;
  /** Lists the records of a tenant that still exist. */
  list(tenant: string, signal: AbortSignal): Promise<UsageRecord[]>;
  /** Removes the chosen records of a tenant that are not in use. Returns them. */
  prune(tenant: string, choice: RecordChoice, signal: AbortSignal): Promise<UsageRecord[]>;
}

export interface CacheRecordsDependencies {
  engine: Pick<EngineApi, "grpc">;
  ledger: Pick<Ledger, "read" | "change">;
  /** Aborts the work in the background */
  signal: AbortSignal;
}

/** ms that the engine may take to list its records after a build */
const LIST_TIMEOUT = 30_000;

/** The maximum number of listings after a build, and the ms between them */
const LIST_ATTEMPTS = 10;
const BETWEEN_LISTS = 200;

/** A time in which at least one build is running */
interface Period {
  before: Promise<ReadonlySet<string>>;
  tenants: Set<string>;
  running: number;
  /** The number of builds that have begun */
  begun: number;
}

export function createCacheRecords(dependencies: CacheRecordsDependencies): CacheRecords {
  let period: Period | undefined;
  let closing: Promise<void> = Promise.resolve();

  /** Lists the records after a period. A build that was aborted holds its context for a moment, and a record has a different ID while it is held. */
  async function recordsAfter(ended: Period, before: ReadonlySet<string>): Promise<UsageRecord[]> {
    for (let attempt = 1; ; attempt++) {
      const found = await recordsNow(dependencies);
      const areHeld = found.some(({ ID, inUse }) => inUse && !before.has(ID));
      if (!areHeld || ended.running > 0 || attempt === LIST_ATTEMPTS) return found;
      await sleep(BETWEEN_LISTS, undefined, { signal: dependencies.signal });
    }
  }

  async function close(ended: Period): Promise<void> {
    const { begun } = ended;
    const before = await ended.before;
    const after = await recordsAfter(ended, before);
    // Another build has begun in the meantime, so the period continues.
    if (period !== ended || ended.running > 0 || ended.begun !== begun) return;
    period = undefined;
    const [tenant] = ended.tenants;
    if (tenant === undefined || ended.tenants.size > 1) return;
    const existing = after.map(({ ID }) => ID);
    const isLeft = new Set(existing);
    const known = dependencies.ledger.read(tenant).cacheRecords.filter((id) => isLeft.has(id));
    const own = [...new Set([...known, ...existing.filter((id) => !before.has(id))])];
    await dependencies.ledger.change(tenant, (record) => void (record.cacheRecords = own));
  }

  return {
    building(tenant, connection) {
      period ??= { before: idsOf(connection, dependencies.signal), tenants: new Set(), running: 0, begun: 0 };
      const own = period;
      own.before.catch(() => {});
      own.tenants.add(tenant);
      own.running += 1;
      own.begun += 1;
      const end = (): void => {
        own.running -= 1;
        if (own.running > 0) return;
        const closed = close(own).catch(() => {
          // The engine is down, or the disk is full: the records belong to no tenant.
          if (period === own && own.running === 0) period = undefined;
        });
        closing = Promise.all([closing, closed]).then(() => {});
      };
      return { [Symbol.dispose]: end };
    },

    async list(tenant, signal) {
      await closing;
      return await ownRecords(dependencies, tenant, signal);
    },

    async prune(tenant, choice, signal) {
      await closing;
      return await pruneRecords(dependencies, tenant, choice, signal);
    },
  };
}

async function pruneRecords(
  { engine, ledger }: CacheRecordsDependencies,
  tenant: string,
  choice: RecordChoice,
  signal: AbortSignal,
): Promise<UsageRecord[]> {
  const known = ledger.read(tenant).cacheRecords;
  if (known.length === 0) return [];
  using connection = await engine.grpc(signal);
  const client = createClient(Control, connection.transport);
  const { record } = await client.diskUsage({}, { signal });
  const ids = new Set(known);
  const own = record.filter(({ ID }) => ids.has(ID));
  const chosen = selectRecords(own, choice, Date.now());
  const pruned: UsageRecord[] = [];
  if (chosen.length > 0) {
    const filter = chosen.map(({ ID }) => `id==${JSON.stringify(ID)}`);
    for await (const removed of client.prune({ filter, all: choice.all }, { signal })) pruned.push(removed);
  }
  const isGone = new Set(pruned.map(({ ID }) => ID));
  const left = new Set(own.map(({ ID }) => ID).filter((id) => !isGone.has(id)));
  await ledger.change(
    tenant,
    (written) => void (written.cacheRecords = written.cacheRecords.filter((id) => left.has(id) || !ids.has(id))),
  );
  return pruned;
}

async function ownRecords(
  { engine, ledger }: CacheRecordsDependencies,
  tenant: string,
  signal: AbortSignal,
): Promise<UsageRecord[]> {
  const own = new Set(ledger.read(tenant).cacheRecords);
  if (own.size === 0) return [];
  using connection = await engine.grpc(signal);
  const { record } = await createClient(Control, connection.transport).diskUsage({}, { signal });
  return record.filter(({ ID }) => own.has(ID));
}

async function recordsNow({ engine, signal }: CacheRecordsDependencies): Promise<UsageRecord[]> {
  const stop = AbortSignal.any([signal, AbortSignal.timeout(LIST_TIMEOUT)]);
  using connection = await engine.grpc(stop);
  return (await createClient(Control, connection.transport).diskUsage({}, { signal: stop })).record;
}

async function idsOf({ transport }: GrpcConnection, signal: AbortSignal): Promise<ReadonlySet<string>> {
  const { record } = await createClient(Control, transport).diskUsage({}, { signal });
  return new Set(record.map(({ ID }) => ID));
}
