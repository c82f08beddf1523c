import { createHash } from "node:crypto";
import { isJobId, type Job, type JobState } from "../../jobs/job.ts";
import {
  QueueFull,
  StoreUnavailable,
  type AddedJob,
  type BodyFile,
  type Change,
  type Claim,
  type DeliveryOutcome,
  type JobPage,
  type JobQuery,
  type JobStore,
  type LogPiece,
  type NewJob,
  type Outcome,
  type ReadLogOptions,
  type WorkerOptions,
  type WorkerReport,
} from "../job-store.ts";
import type { Seal } from "../seal.ts";
import { KEY_AGE, REASONS } from "../transitions.ts";
import type { Bodies } from "./bodies.ts";
import type { Changes } from "./changes.ts";
import type { RedisAddress } from "./connection.ts";
import type { KeptLogs } from "./kept-logs.ts";
import type { LeaseTimes } from "./lease.ts";
import { readLog } from "./logs.ts";
import { countJobs, listJobs, positionOf } from "./queries.ts";
import { specOf } from "./record.ts";
import { readReports, writeReport } from "./reports.ts";
import { ADD, CANCEL } from "./scripts.ts";
import type { KeySpace } from "./key-space.ts";
import type { Upkeep } from "./upkeep.ts";
import { deliverWebhooks } from "./webhooks.ts";
import { JobWorker } from "./worker.ts";

/** The dependencies of the store, which disposes of them. */
export interface RedisStoreDependencies {
  address: RedisAddress;
  keySpace: KeySpace;
  bodies: Bodies;
  changes: Changes;
  upkeep: Upkeep;
  seal: Seal;
  kept: KeptLogs | undefined;
  times: LeaseTimes;
  maxQueued: number;
  /** Maximum bytes of one log */
  maxLog: number;
}

/** Stores jobs in Redis, for several servers and workers. Bodies are files in a folder that they share. */
export class RedisStore implements JobStore {
  readonly #dependencies: RedisStoreDependencies;
  readonly #closed = new AbortController();

  constructor(dependencies: RedisStoreDependencies) {
    this.#dependencies = dependencies;
  }

  async newBody(): Promise<BodyFile> {
    return await this.#dependencies.bodies.create();
  }

  async add(added: NewJob): Promise<AddedJob> {
    const { keySpace, bodies, maxQueued } = this.#dependencies;
    const { job, body, credentials, idempotency } = added;
    const sealed = credentials === undefined ? "" : this.#dependencies.seal.seal(job, credentials);
    if (body !== undefined) await bodies.take(job.id, body);
    const webhook = added.webhookUrl === undefined ? "" : JSON.stringify({ url: added.webhookUrl, deliveries: [] });
    const limits = [added.maxRunning ?? "", added.maxQueued ?? "", maxQueued];
    const key =
      idempotency === undefined ? ["", "", 0] : [hashOf(job.owner, idempotency.key), idempotency.fingerprint, KEY_AGE];
    const size = job.source.kind === "address" ? 0 : job.source.bytes;
    const fields = [job.id, job.owner, job.fullName, specOf(job), webhook, sealed, ...limits, ...key];
    fields.push(this.#dependencies.kept === undefined ? "" : 1, size);
    const [kind, value] = (await keySpace.run(ADD, ...fields).catch(async (error: unknown) => {
      if (!(error instanceof StoreUnavailable)) await this.#putBack(added);
      throw error;
    })) as [string, unknown];
    if (kind === "added") {
      // The job is accepted. If Redis fails at this point, upkeep adds it to the queue.
      await keySpace.enqueue(job.id, Number(value)).catch(() => {});
      return { kind, job: await this.#job(job.id) };
    }
    await this.#putBack(added);
    if (kind === "known") return { kind, job: await this.#job(String(value)) };
    if (kind === "conflict") return { kind };
    throw new QueueFull(
      kind === "full" ? `${maxQueued} jobs are queued` : `${added.maxQueued} jobs of ${job.owner} are queued`,
    );
  }

  async get(id: string): Promise<Job | undefined> {
    return isJobId(id) ? await this.#dependencies.keySpace.job(id) : undefined;
  }

  async list(query: JobQuery): Promise<JobPage> {
    return await listJobs(this.#dependencies.keySpace, query);
  }

  async position(id: string): Promise<number | undefined> {
    return await positionOf(this.#dependencies.keySpace, id);
  }

  async counts(owner?: string): Promise<Record<JobState, number>> {
    return await countJobs(this.#dependencies.keySpace, owner);
  }

  async cancel(id: string): Promise<Job | undefined> {
    const { keySpace } = this.#dependencies;
    if (!isJobId(id)) return undefined;
    if ((await keySpace.run(CANCEL, id, JSON.stringify(REASONS.cancelled))) === "over") {
      // A worker that takes it detects that it is over.
      await keySpace.database.use(() => keySpace.builds.remove(id)).catch(() => {});
      await keySpace.ended(id, []).catch(() => {});
    }
    return await keySpace.job(id);
  }

  async bodyOf(id: string): Promise<string | undefined> {
    if ((await this.get(id)) === undefined) return undefined;
    return await this.#dependencies.bodies.find(id);
  }

  async readLog(id: string, options: ReadLogOptions): Promise<LogPiece> {
    if (!isJobId(id)) return { lines: [], isLast: true };
    return await readLog(this.#dependencies.keySpace, this.#dependencies.kept, id, options);
  }

  watch(listener: (change: Change) => void): Disposable {
    return this.#dependencies.changes.watch(listener);
  }

  async work(worker: WorkerOptions, run: (claim: Claim) => Promise<Outcome>): Promise<void> {
    await new JobWorker({ ...this.#dependencies, closed: this.#closed.signal }, worker, run).work();
  }

  async workWebhooks(signal: AbortSignal, send: (job: Job) => Promise<DeliveryOutcome>): Promise<void> {
    await deliverWebhooks({ ...this.#dependencies, signal: AbortSignal.any([signal, this.#closed.signal]) }, send);
  }

  async report(worker: WorkerReport): Promise<void> {
    await writeReport(this.#dependencies.keySpace, worker);
  }

  async workers(): Promise<readonly WorkerReport[]> {
    return await readReports(this.#dependencies.keySpace);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    this.#dependencies.upkeep[Symbol.dispose]();
    this.#dependencies.changes[Symbol.dispose]();
    await this.#dependencies.keySpace[Symbol.asyncDispose]();
  }

  async #job(id: string): Promise<Job> {
    const job = await this.#dependencies.keySpace.job(id);
    if (job === undefined) throw new Error(`the record of the job ${id} is gone`);
    return job;
  }

  /**
   * Returns a body to its owner if no job has it. If Redis did not answer, a job may have it: the body stays until
   * upkeep finds that no job has it.
   */
  async #putBack({ job, body }: NewJob): Promise<void> {
    if (body !== undefined) await this.#dependencies.bodies.putBack(job.id, body);
  }
}

function hashOf(owner: string, key: string): string {
  return createHash("sha256")
    .update(JSON.stringify([owner, key]))
    .digest("base64url");
}
