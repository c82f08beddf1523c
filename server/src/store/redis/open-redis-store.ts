import { join } from "node:path";
import { Failure } from "docker-over-ssh/builds";
import type { Retention } from "../../settings.ts";
import type { JobStore } from "../job-store.ts";
import { readKeyFile, type Seal } from "../seal.ts";
import { Bodies } from "./bodies.ts";
import { Changes } from "./changes.ts";
import { parseRedisUrl, RedisDatabase } from "./connection.ts";
import { openKeptLogs } from "./kept-logs.ts";
import { LEASE_TIMES, type LeaseTimes } from "./lease.ts";
import { inspectServer } from "./inspect-server.ts";
import { RedisStore } from "./redis-store.ts";
import { KeySpace } from "./key-space.ts";
import { Upkeep } from "./upkeep.ts";

export interface RedisStoreOptions {
  /** redis:// or rediss://. It may contain a password, and is never shown. */
  url: string;
  /** The folder of bodies, which all servers and workers share */
  data: string;
  retention: Retention;
  /** Maximum number of queued jobs, of all owners */
  maxQueued: number;
  /** Maximum bytes of one log */
  maxLog: number;
  /** Encrypts credentials. Default: with the file `key` in the folder, which the first server creates */
  seal?: Seal | undefined;
  /** Additional storage for logs of jobs that are over: a folder, or `s3://BUCKET/PREFIX` */
  keepLogs?: string | undefined;
  /** Called with problems in the settings of Redis, in words for people */
  warn: (message: string) => void;
  /** Prefix of all keys. Default: `docker-over-ssh` */
  prefix?: string | undefined;
  times?: LeaseTimes | undefined;
  /** ms to wait for Redis at the start. Default: 10 s */
  patience?: number | undefined;
  /** ms between two rounds of upkeep. Default: 15 s */
  upkeep?: number | undefined;
  /** The environment with the credentials of an object store. Default: that of the process */
  env?: NodeJS.ProcessEnv | undefined;
}

/**
 * Opens a store in Redis 6.2 or newer (or Valkey), for several servers and workers; script.ts lists the keys. It has
 * two connections, and each `work` and `workWebhooks` adds two.
 *
 * Data that Redis confirms is as durable as Redis itself: with `appendonly yes`, at most the last second is lost when
 * its machine fails.
 *
 * @throws Failures if Redis cannot be reached, is too old, or the folder is not shared
 */
export async function openRedisStore(options: RedisStoreOptions): Promise<JobStore> {
  const { data, retention, maxQueued, maxLog, keepLogs, warn, times = LEASE_TIMES, env = process.env } = options;
  const prefix = options.prefix ?? "docker-over-ssh";
  const address = parseRedisUrl(options.url);
  if (!/^[\x21-\x7E]+$/.test(prefix))
    throw new Failure("usage", "the prefix of keys in Redis may contain only visible ASCII characters");
  const database = await RedisDatabase.open(address, options.patience ?? 10_000);
  let keySpace: KeySpace | undefined;
  try {
    const warnings = await inspectServer(database, address.shown);
    warnings.forEach(warn);
    const bodies = await Bodies.open(data, database, `${prefix}:folder`);
    const seal = options.seal ?? (await readKeyFile(join(data, "key")));
    const kept = keepLogs === undefined ? undefined : await openKeptLogs(keepLogs, env);
    keySpace = new KeySpace(database, prefix, warnings.length > 0);
    const changes = await Changes.open(keySpace, address);
    const upkeep = new Upkeep({ keySpace, bodies, retention, kept, every: options.upkeep ?? 15_000, warn });
    return new RedisStore({ address, keySpace, bodies, changes, upkeep, seal, kept, times, maxQueued, maxLog });
  } catch (error) {
    await keySpace?.[Symbol.asyncDispose]();
    database[Symbol.dispose]();
    throw error;
  }
}
