import { Redis, type RedisOptions } from "ioredis";
import { Failure, messageOf } from "docker-over-ssh/builds";
import { StoreUnavailable } from "../job-store.ts";
import type { Script } from "./script.ts";

/** Maximum ms of a command: a Redis that does not answer counts as unavailable. */
const COMMAND_TIMEOUT = 3000;
/** Maximum ms between two attempts to reconnect */
const RETRY_EVERY = 500;
/** Errors of a Redis that is reachable, but temporarily unusable */
const NOT_NOW = /^(?:LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|BUSY|TRYAGAIN|NOREPLICAS)\b/;
/** Redis is out of memory, or its disk is full */
const FULL = /^(?:OOM|MISCONF)\b/;
const NOT_ALLOWED = /^(?:NOAUTH|WRONGPASS|NOPERM)\b|^ERR (?:invalid password|AUTH)/;

/** The address of Redis. The URL may contain a password: show only {@link RedisAddress.shown} to people. */
export interface RedisAddress {
  url: string;
  /** `redis://HOST:PORT/DB`, without user and password */
  shown: string;
}

/**
 * Parses `redis://` and `rediss://` URLs.
 *
 * @throws a `usage` Failure, which omits the URL, because it may contain a password
 */
export function parseRedisUrl(text: string): RedisAddress {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isRedis = url?.protocol === "redis:" || url?.protocol === "rediss:";
  if (!isRedis || url.hostname === "" || !/^(?:\/\d*)?$/.test(url.pathname)) {
    throw new Failure("usage", "the address of Redis cannot be read", {
      expected: "redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], or rediss:// for TLS",
      hint: "Encode characters such as / @ # in a password as %2F %40 %23.",
    });
  }
  return {
    url: text,
    shown: `${url.protocol}//${url.hostname}:${url.port || "6379"}${url.pathname.replace(/\/$/, "")}`,
  };
}

/** A connection to Redis whose commands fail at once while Redis is unavailable. */
export class RedisDatabase implements Disposable {
  readonly redis: Redis;
  readonly #address: RedisAddress;

  private constructor(address: RedisAddress) {
    this.#address = address;
    this.redis = newClient(address, {
      lazyConnect: true,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      autoResendUnfulfilledCommands: false,
      commandTimeout: COMMAND_TIMEOUT,
    });
  }

  /**
   * Connects to Redis.
   *
   * @throws a Failure if Redis does not answer within `patience` ms, or does not accept the password
   */
  static async open(address: RedisAddress, patience: number): Promise<RedisDatabase> {
    const database = new RedisDatabase(address);
    try {
      await firstAnswer(database.redis, patience);
      return database;
    } catch (error) {
      database[Symbol.dispose]();
      throw notReached(address, error);
    }
  }

  /** Whether commands can be sent at the moment. */
  get isReady(): boolean {
    return this.redis.status === "ready";
  }

  /**
   * Runs commands. Rejects with StoreUnavailable while Redis is unavailable, and with a `no-space` Failure when it is
   * full.
   */
  async use<T>(commands: (redis: Redis) => Promise<T>): Promise<T> {
    try {
      return await commands(this.redis);
    } catch (error) {
      throw this.#explained(error);
    }
  }

  /** Runs a script; `args` follow the prefix of keys. */
  async run(script: Script, prefix: string, args: readonly (string | number)[]): Promise<unknown> {
    return await this.use(async (redis) => {
      const all = [0, prefix, ...args];
      try {
        return await redis.call("EVALSHA", script.sha, ...all);
      } catch (error) {
        if (!messageOf(error).startsWith("NOSCRIPT")) throw error; // Redis was restarted
        return await redis.call("EVAL", script.lua, ...all);
      }
    });
  }

  #explained(error: unknown): unknown {
    const text = messageOf(error);
    const at = `Redis at ${this.#address.shown}`;
    if (!isReply(error)) return new StoreUnavailable(`${at} cannot be reached: ${text}`, { cause: error });
    if (NOT_NOW.test(text)) return new StoreUnavailable(`${at} accepts no commands: ${text}`, { cause: error });
    if (!FULL.test(text)) return error;
    return new Failure("no-space", `${at} stores nothing more: ${text}`, {
      hint: "Give it more memory or disk, or keep fewer jobs: --keep-for, --keep-bytes.",
      cause: error,
    });
  }

  [Symbol.dispose](): void {
    this.redis.disconnect();
  }
}

/**
 * Returns a client that waits for Redis without a time limit, for workers and subscriptions; the caller disconnects it.
 * Errors of the connection have no other listener, because they also reject the commands, or the next connection
 * resolves them.
 */
export function patientClient(address: RedisAddress): Redis {
  return newClient(address, { maxRetriesPerRequest: null });
}

function newClient({ url }: RedisAddress, options: Omit<RedisOptions, "replyMapping">): Redis {
  const client = new Redis(url, {
    connectTimeout: 5000,
    connectionName: "docker-over-ssh",
    retryStrategy: (times: number) => Math.min(50 * 2 ** times, RETRY_EVERY),
    ...options,
  });
  client.on("error", () => {});
  return client;
}

/** Tries to connect until Redis answers a PING, for at most `patience` ms. */
async function firstAnswer(redis: Redis, patience: number): Promise<void> {
  let last: unknown = new Error("no answer");
  let timer: NodeJS.Timeout | undefined;
  let onError: (error: unknown) => void = () => {};
  const refused = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(last), patience);
    onError = (error) => {
      last = error;
      if (NOT_ALLOWED.test(messageOf(error))) reject(error);
    };
  });
  refused.catch(() => {});
  redis.on("error", onError);
  try {
    redis.connect().catch(onError); // it reconnects by itself
    await Promise.race([refused, new Promise((resolve) => redis.once("ready", resolve))]);
    await Promise.race([refused, redis.ping()]);
  } finally {
    clearTimeout(timer);
    redis.off("error", onError);
  }
}

function notReached({ shown }: RedisAddress, cause: unknown): Failure {
  const text = messageOf(cause);
  if (NOT_ALLOWED.test(text)) {
    return new Failure("usage", `Redis at ${shown} does not accept the user or the password: ${text}`, {
      hint: "Give them in the address: redis://USER:PASSWORD@HOST (redis://:PASSWORD@HOST for the default user).",
      cause,
    });
  }
  return new Failure("transfer-failed", `Redis at ${shown} does not answer: ${text}`, {
    expected: "Redis runs, and this machine may connect to it",
    hint: `Start it, or check the address and firewalls: redis-cli -u ${shown} ping`,
    cause,
  });
}

/** Returns whether an error is a reply of Redis. */
function isReply(error: unknown): boolean {
  return error instanceof Error && error.name === "ReplyError";
}
