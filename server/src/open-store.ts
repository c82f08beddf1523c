import type { ServeSettings } from "./settings.ts";
import type { JobStore } from "./store/job-store.ts";
import { readKeyFile } from "./store/seal.ts";

export type StoreSettings = Pick<
  ServeSettings,
  "data" | "redis" | "keyFile" | "maxQueued" | "maxLog" | "retention" | "keepLogs"
>;

/** Opens the store that the settings select. The caller disposes of it. Rejects with a Failure. */
export async function openStore(
  settings: StoreSettings,
  { env, warn }: { env: NodeJS.ProcessEnv; warn: (message: string) => void },
): Promise<JobStore> {
  const { data, redis, keyFile, maxQueued, maxLog, retention, keepLogs } = settings;
  const seal = keyFile === undefined ? undefined : await readKeyFile(keyFile);
  const options = { maxQueued, maxLog, retention, seal, warn };
  if (redis === undefined) {
    const { openFileStore } = await import("./store/files/file-store.ts");
    return await openFileStore({ ...options, folder: data });
  }
  const { openRedisStore } = await import("./store/redis/open-redis-store.ts");
  return await openRedisStore({ ...options, url: redis, data, keepLogs, env });
}
