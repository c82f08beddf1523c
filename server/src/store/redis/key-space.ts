import { Queue } from "bullmq";
import type { RedisDatabase } from "./connection.ts";
import { jobOf, type JobRecord } from "./record.ts";
import type { Script } from "./script.ts";
import type { Job } from "../../jobs/job.ts";

/** The shared parts of the store: the database, the names of its keys, and the queues. */
export class KeySpace implements AsyncDisposable {
  readonly database: RedisDatabase;
  /** Prefix of each key */
  readonly prefix: string;
  /** The queue of jobs to run. Its entries contain only the ID of a job. */
  readonly builds: Queue;
  /** The queue of webhooks to deliver, with entries of the same form */
  readonly hooks: Queue;

  /** Disables BullMQ's check of Redis, which would print its own warnings. */
  readonly skipsCheck: boolean;

  constructor(database: RedisDatabase, prefix: string, skipsCheck: boolean) {
    this.database = database;
    this.prefix = prefix;
    this.skipsCheck = skipsCheck;
    const options = {
      connection: database.redis,
      prefix: this.key("bull"),
      skipVersionCheck: skipsCheck,
      streams: { events: { maxLen: 100 } }, // nobody reads them
    };
    this.builds = new Queue("builds", options);
    this.hooks = new Queue("webhooks", options);
    // Errors of the connection also reject the commands.
    for (const queue of [this.builds, this.hooks]) queue.on("error", () => {});
  }

  key(...parts: string[]): string {
    return [this.prefix, ...parts].join(":");
  }

  async run(script: Script, ...args: readonly (string | number)[]): Promise<unknown> {
    return await this.database.run(script, this.prefix, args);
  }

  async record(id: string): Promise<JobRecord> {
    return await this.database.use((redis) => redis.hgetall(this.key("job", id)));
  }

  async job(id: string): Promise<Job | undefined> {
    return jobOf(await this.record(id));
  }

  /** Returns the fields of several jobs, in their order. */
  async fields(ids: readonly string[], ...names: string[]): Promise<(string | null)[][]> {
    const pipeline = this.database.redis.pipeline();
    for (const id of ids) pipeline.hmget(this.key("job", id), ...names);
    return (await this.batch(pipeline)) as (string | null)[][];
  }

  /** Returns jobs, in the order of their IDs, without those that no longer exist. */
  async jobs(ids: readonly string[]): Promise<Job[]> {
    const pipeline = this.database.redis.pipeline();
    for (const id of ids) pipeline.hgetall(this.key("job", id));
    const records = (await this.batch(pipeline)) as JobRecord[];
    return records.flatMap((record) => jobOf(record) ?? []);
  }

  /** Runs a pipeline, and rejects if one of its commands fails. */
  async batch(pipeline: ReturnType<RedisDatabase["redis"]["pipeline"]>): Promise<unknown[]> {
    return await this.database.use(async () => {
      const answers = (await pipeline.exec()) ?? [];
      return answers.map(([error, value]) => {
        if (error) throw error;
        return value;
      });
    });
  }

  /** Queues a job for the workers. A repeated call has no effect. */
  async enqueue(id: string, tag: number): Promise<void> {
    await this.database.use(() => this.builds.add("build", {}, { jobId: id, priority: tag, ...FORGET }));
  }

  /** Queues the webhook of a job for delivery. A repeated call has no effect. */
  async enqueueHook(id: string, delay = 0): Promise<void> {
    await this.database.use(() => this.hooks.add("webhook", {}, { jobId: id, delay, ...FORGET }));
  }

  /** Performs the actions after the end of a job: queues its webhook, and lets jobs run that waited for it. */
  async ended(id: string, freed: readonly string[]): Promise<void> {
    await this.unpark(freed);
    const isHooked = await this.database.use((redis) => redis.sismember(this.key("hooks"), id));
    if (isHooked === 1) await this.enqueueHook(id);
  }

  /** Lets parked jobs run. A job that is not parked in the queue yet checks again by itself. */
  async unpark(ids: readonly string[]): Promise<void> {
    for (const id of ids) {
      const job = await this.database.use(() => this.builds.getJob(id));
      await job?.promote().catch(() => {});
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.builds.close(), this.hooks.close()].map((closing) => closing.catch(() => {})));
    this.database[Symbol.dispose]();
  }
}

/** Completed entries of queues are removed, because the records are stored elsewhere. */
const FORGET = { removeOnComplete: true, removeOnFail: true } as const;
