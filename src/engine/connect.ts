import { homedir } from "node:os";
import { chooseEndpoint } from "./choose.ts";
import { openEngine } from "./docker.ts";
import type { Engine } from "./engine.ts";

/** Connects to the engine that the docker command would use: `host` (-H), the environment, or the current context. */
export async function connectEngine(host: string | undefined, env: NodeJS.ProcessEnv): Promise<Engine> {
  return await openEngine(await chooseEndpoint({ ...(host === undefined ? {} : { host }), env, homedir: homedir() }));
}
