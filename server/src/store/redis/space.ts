import { Queue } from "bullmq";
import type { RedisDatabase } from "./connection.ts";
import { jobOf, type JobRecord } from "./record.ts";
import type { Script } from "./script.ts";
import type { Job } from "../../jobs/job.ts";

/** What the parts of the store share: the database, the names of keys in it, and the queues. */
export class Space implements AsyncDisposable {
  readonly database: RedisDatabase;
  /** What each key begins with */
  readonly prefix: string;
  /** The queue of jobs to run. Its entries have the ID of a job, and nothing else. */
  readonly builds: Queue;
  /** The queue of webhooks to deliver, likewise */
  readonly hooks: Queue;

  /** Whether BullMQ does not look at Redis: it would print warnings of its own. */
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
    // Errors of the connection, which come as rejections as well.
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

  /** Returns jobs, in the order of their IDs; those that are gone are left out. */
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

  /** Has workers run a job; once, also if it is called again. */
  async enqueue(id: string, tag: number): Promise<void> {
    await this.database.use(() => this.builds.add("build", {}, { jobId: id, priority: tag, ...FORGET }));
  }

  /** Has the webhook of a job delivered; once, also if it is called again. */
  async enqueueHook(id: string, delay = 0): Promise<void> {
    await this.database.use(() => this.hooks.add("webhook", {}, { jobId: id, delay, ...FORGET }));
  }

  /** Does what follows from the end of a job: has its webhook delivered, and lets those run that waited for it. */
  async ended(id: string, freed: readonly string[]): Promise<void> {
    await this.unpark(freed);
    const isHooked = await this.database.use((redis) => redis.sismember(this.key("hooks"), id));
    if (isHooked === 1) await this.enqueueHook(id);
  }

  /** Lets parked jobs run. One that is not parked in the queue yet looks again by itself. */
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

/** Entries of queues are removed when they are done: records are elsewhere. */
const FORGET = { removeOnComplete: true, removeOnFail: true } as const;
