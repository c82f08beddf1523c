import { Failure } from "docker-over-ssh/builds";
import type { RedisDatabase } from "./connection.ts";

/** The oldest Redis with all commands that the store uses */
const OLDEST = [6, 2] as const;

/**
 * Checks whether a Redis server is suitable for jobs. Returns warnings about its settings, for people.
 *
 * @throws a `usage` Failure for a server that is too old, or a cluster
 */
export async function inspectServer(database: RedisDatabase, shown: string): Promise<readonly string[]> {
  // INFO may be permitted where CONFIG is not.
  const text = await database.use((redis) => redis.info()).catch(() => "");
  const info = new Map(Array.from(text.matchAll(/^(\w+):(.*?)\r?$/gm), ([, name = "", value = ""]) => [name, value]));
  const version = info.get("redis_version") ?? "";
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (version !== "" && (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]))) {
    throw new Failure("usage", `Redis at ${shown} is too old: ${version}`, {
      expected: `Redis ${OLDEST.join(".")} or newer, or Valkey`,
    });
  }
  if (info.get("cluster_enabled") === "1") {
    throw new Failure("usage", `Redis at ${shown} is a cluster`, { expected: "one Redis, with replicas or without" });
  }
  const warnings: string[] = [];
  const policy = info.get("maxmemory_policy") ?? "noeviction";
  if (policy !== "noeviction") {
    warnings.push(
      `Redis at ${shown} may remove jobs when its memory is full (maxmemory-policy ${policy}): set maxmemory-policy noeviction`,
    );
  }
  if (info.get("aof_enabled") === "0") {
    warnings.push(`Redis at ${shown} loses accepted jobs when it stops (appendonly no): set appendonly yes`);
  }
  return warnings;
}
