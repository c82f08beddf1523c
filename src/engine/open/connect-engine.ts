import { homedir } from "node:os";
import { chooseEndpoint } from "../connect/choose-endpoint.ts";
import type { EngineEndpoint } from "../connect/endpoint.ts";
import type { ApiOptions } from "../api/docker-api.ts";
import { openEngine } from "./open-engine.ts";
import type { Engine } from "../engine.ts";

/**
 * Connects to the engine that the docker command would use.
 *
 * @param named the engine that `-H` or `DOCKER_HOST` names; if undefined, the docker context decides
 * @param signal as for {@link openEngine}
 */
export async function connectEngine(
  named: EngineEndpoint | undefined,
  env: NodeJS.ProcessEnv,
  signal?: AbortSignal,
  options: Omit<ApiOptions, "signal"> = {},
): Promise<Engine> {
  return await openEngine(await chooseEndpoint({ named, env, homedir: homedir() }), signal, options);
}
