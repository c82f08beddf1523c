import { homedir } from "node:os";
import { chooseEndpoint } from "./choose.ts";
import { openEngine } from "./docker.ts";
import type { Engine } from "./engine.ts";

/**
 * Connects to the engine that the docker command would use: `host` (-H), the environment, or the current context.
 *
 * @param signal As for {@link openEngine}.
 * @param onAnotherLogin Hears before ssh, if that leads there, logs in once more.
 */
export async function connectEngine(
  host: string | undefined,
  env: NodeJS.ProcessEnv,
  signal?: AbortSignal,
  onAnotherLogin?: () => void,
): Promise<Engine> {
  const endpoint = await chooseEndpoint({ ...(host === undefined ? {} : { host }), env, homedir: homedir() });
  return await openEngine(endpoint, signal, { onAnotherLogin });
}
