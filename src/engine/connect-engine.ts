import { homedir } from "node:os";
import { chooseEndpoint } from "./connect/choose-endpoint.ts";
import type { ApiOptions } from "./api/docker-api.ts";
import { openEngine } from "./docker.ts";
import type { Engine } from "./engine.ts";

/**
 * Connects to the engine that the docker command would use: `host` (-H), the environment, or the current context.
 *
 * @param signal As for {@link openEngine}.
 */
export async function connectEngine(
  host: string | undefined,
  env: NodeJS.ProcessEnv,
  signal?: AbortSignal,
  options: Omit<ApiOptions, "signal"> = {},
): Promise<Engine> {
  const endpoint = await chooseEndpoint({ ...(host === undefined ? {} : { host }), env, homedir: homedir() });
  return await openEngine(endpoint, signal, options);
}
