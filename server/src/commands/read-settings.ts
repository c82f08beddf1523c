import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { ARCHIVE_LIMITS, Failure, InvalidValue } from "docker-over-ssh/builds";
import type { ListenAddress, ServeSettings } from "../settings.ts";
import { parseListen, type ServeOptions } from "./serve-options.ts";

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const MIB = 1024 ** 2;
const GIB = 1024 ** 3;

/** Creates settings from options and the environment. Throws a Failure `usage` for contradictory options. */
export function readSettings(options: ServeOptions, env: NodeJS.ProcessEnv): ServeSettings {
  const { role = "both", tlsCert, tlsKey } = options;
  const redis = options.redis ?? redisOf(env);
  if (role !== "both" && redis === undefined) {
    throw new Failure("usage", `--role ${role} needs --redis, because a folder of jobs belongs to one server`, {
      expected: "--redis URL, or REDIS_URL in the environment",
    });
  }
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new Failure("usage", "--tls-cert and --tls-key belong together", { expected: "both, or neither" });
  }
  if (options.keepLogs !== undefined && redis === undefined) {
    throw new Failure("usage", "--keep-logs needs --redis: without it, all logs are files in --data", {
      expected: "--redis as well, or no --keep-logs",
    });
  }
  if (redis !== undefined) checkRedis(redis);
  return {
    listen: options.listen ?? listenOf(env),
    ...(tlsCert !== undefined && tlsKey !== undefined && { tls: { certFile: tlsCert, keyFile: tlsKey } }),
    role,
    data: resolve(options.data ?? defaultFolder(env)),
    redis,
    keyFile: options.keyFile,
    tokenFile: options.tokenFile,
    webhookSecretFile: options.webhookSecretFile,
    engines: options.host ?? [],
    places: options.jobs ?? 2,
    maxQueued: options.maxQueued ?? 10_000,
    upload: { maxBody: options.maxUpload ?? GIB, idle: MINUTE },
    fetch: {
      maxBytes: options.maxUpload ?? GIB,
      maxTime: 10 * MINUTE,
      redirects: 5,
      allowedHosts: options.allowHost ?? [],
    },
    build: { maxUnpacked: options.maxSize ?? ARCHIVE_LIMITS.bytes, maxTime: options.maxTime ?? 60 * MINUTE },
    maxLog: options.maxLog ?? 16 * MIB,
    retention: { age: options.keepFor ?? 30 * DAY, bytes: options.keepBytes ?? 10 * GIB },
    keepLogs: options.keepLogs,
    grace: options.grace ?? MINUTE / 2,
  };
}

/** Platforms that run containers pass the port in PORT. */
function listenOf({ PORT: port }: NodeJS.ProcessEnv): ListenAddress {
  if (!port) return { kind: "tcp", host: "127.0.0.1", port: 8080 };
  try {
    return parseListen(port);
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error;
    throw new Failure("usage", `PORT in the environment is not a port: ${JSON.stringify(port)}`, {
      expected: "a number from 0 to 65535, HOST:PORT or unix:PATH",
    });
  }
}

/** CACHE_1_…: set by a link to a container named `cache`, and read by tutum-builder. */
function redisOf(env: NodeJS.ProcessEnv): string | undefined {
  const { REDIS_URL: url, CACHE_1_PORT_6379_TCP_ADDR: host, CACHE_1_PORT_6379_TCP_PORT: port } = env;
  if (url) return url;
  return host ? `redis://${host.includes(":") ? `[${host}]` : host}:${port || "6379"}` : undefined;
}

/** Messages omit the address, which may contain a password. */
function checkRedis(address: string): void {
  if (URL.canParse(address) && ["redis:", "rediss:"].includes(new URL(address).protocol)) return;
  throw new Failure("usage", "the address of Redis is not valid", {
    expected: "redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], or rediss:// for TLS",
  });
}

function defaultFolder(env: NodeJS.ProcessEnv): string {
  const state = env["XDG_STATE_HOME"] || join(env["HOME"] || homedir(), ".local/state");
  return join(state, "docker-over-ssh-server");
}
