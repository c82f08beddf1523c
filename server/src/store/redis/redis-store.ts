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
import type { Space } from "./space.ts";
import type { Upkeep } from "./upkeep.ts";
import { deliverWebhooks } from "./webhooks.ts";
import { JobWorker } from "./worker.ts";

/** The parts of the store, which disposes of them. */
export interface RedisStoreParts {
  address: RedisAddress;
  space: Space;
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
  readonly #parts: RedisStoreParts;
  readonly #closed = new AbortController();

  constructor(parts: RedisStoreParts) {
    this.#parts = parts;
  }

  async newBody(): Promise<BodyFile> {
    return await this.#parts.bodies.create();
  }

  async add(added: NewJob): Promise<AddedJob> {
    const { space, bodies, maxQueued } = this.#parts;
    const { job, body, credentials, idempotency } = added;
    const sealed = credentials === undefined ? "" : this.#parts.seal.seal(job, credentials);
    if (body !== undefined) await bodies.take(job.id, body);
    const webhook = added.webhookUrl === undefined ? "" : JSON.stringify({ url: added.webhookUrl, deliveries: [] });
    const limits = [added.maxRunning ?? "", added.maxQueued ?? "", maxQueued];
    const key =
      idempotency === undefined ? ["", "", 0] : [hashOf(job.owner, idempotency.key), idempotency.fingerprint, KEY_AGE];
    const size = job.source.kind === "address" ? 0 : job.source.bytes;
    const fields = [job.id, job.owner, job.fullName, specOf(job), webhook, sealed, ...limits, ...key];
    fields.push(this.#parts.kept === undefined ? "" : 1, size);
    const [kind, value] = (await space.run(ADD, ...fields).catch(async (error: unknown) => {
      if (!(error instanceof StoreUnavailable)) await this.#putBack(added);
      throw error;
    })) as [string, unknown];
    if (kind === "added") {
      // The job is accepted. If Redis fails at this point, upkeep adds it to the queue.
      await space.enqueue(job.id, Number(value)).catch(() => {});
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
    return isJobId(id) ? await this.#parts.space.job(id) : undefined;
  }

  async list(query: JobQuery): Promise<JobPage> {
    return await listJobs(this.#parts.space, query);
  }

  async position(id: string): Promise<number | undefined> {
    return await positionOf(this.#parts.space, id);
  }

  async counts(owner?: string): Promise<Record<JobState, number>> {
    return await countJobs(this.#parts.space, owner);
  }

  async cancel(id: string): Promise<Job | undefined> {
    const { space } = this.#parts;
    if (!isJobId(id)) return undefined;
    if ((await space.run(CANCEL, id, JSON.stringify(REASONS.cancelled))) === "over") {
      // A worker that takes it detects that it is over.
      await space.database.use(() => space.builds.remove(id)).catch(() => {});
      await space.ended(id, []).catch(() => {});
    }
    return await space.job(id);
  }

  async bodyOf(id: string): Promise<string | undefined> {
    if ((await this.get(id)) === undefined) return undefined;
    return await this.#parts.bodies.find(id);
  }

  async readLog(id: string, options: ReadLogOptions): Promise<LogPiece> {
    if (!isJobId(id)) return { lines: [], isLast: true };
    return await readLog(this.#parts.space, this.#parts.kept, id, options);
  }

  watch(listener: (change: Change) => void): Disposable {
    return this.#parts.changes.watch(listener);
  }

  async work(worker: WorkerOptions, run: (claim: Claim) => Promise<Outcome>): Promise<void> {
    await new JobWorker({ ...this.#parts, closed: this.#closed.signal }, worker, run).work();
  }

  async workWebhooks(signal: AbortSignal, send: (job: Job) => Promise<DeliveryOutcome>): Promise<void> {
    await deliverWebhooks({ ...this.#parts, signal: AbortSignal.any([signal, this.#closed.signal]) }, send);
  }

  async report(worker: WorkerReport): Promise<void> {
    await writeReport(this.#parts.space, worker);
  }

  async workers(): Promise<readonly WorkerReport[]> {
    return await readReports(this.#parts.space);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    this.#parts.upkeep[Symbol.dispose]();
    this.#parts.changes[Symbol.dispose]();
    await this.#parts.space[Symbol.asyncDispose]();
  }

  async #job(id: string): Promise<Job> {
    const job = await this.#parts.space.job(id);
    if (job === undefined) throw new Error(`the record of the job ${id} is gone`);
    return job;
  }

  /**
   * Returns a body to its owner if no job has it. If Redis did not answer, a job may have it: the body stays until
   * upkeep finds that no job has it.
   */
  async #putBack({ job, body }: NewJob): Promise<void> {
    if (body !== undefined) await this.#parts.bodies.putBack(job.id, body);
  }
}

function hashOf(owner: string, key: string): string {
  return createHash("sha256")
    .update(JSON.stringify([owner, key]))
    .digest("base64url");
}
