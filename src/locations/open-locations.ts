/** Opens locations. This module loads all their code, so it is imported when the first location is opened, see locations.ts. */
import { connectEngine } from "../engine/open/connect-engine.ts";
import type { EngineEndpoint } from "../engine/connect/endpoint.ts";
import type { Engine } from "../engine/engine.ts";
import { engineTarget, type Via } from "../receive/into-engine/engine-target.ts";
import type { Target } from "../receive/target.ts";
import type { Context } from "../transfer.ts";

export { archiveTarget } from "../receive/into-file/archive-target.ts";
export { layoutTarget } from "../receive/into-file/layout-target.ts";
export { archiveSource } from "../send/from-archive/archive-source.ts";
export { engineSource } from "../send/from-engine/engine-source.ts";

/** Connects to the engine of this side. `timeout`: ms. */
export async function connect(
  endpoint: EngineEndpoint | undefined,
  timeout: number | undefined,
  { env, output }: Context,
  signal: AbortSignal,
): Promise<Engine> {
  const onAnotherLogin = (): void => output.note({ code: "connecting-again" });
  return await connectEngine(endpoint, env, signal, { timeout, onAnotherLogin });
}

/** Like {@link engineTarget}, but disposes of the engine on failure. */
export async function ownEngineTarget(engine: Engine, via: Via): Promise<Target> {
  try {
    return await engineTarget(engine, via);
  } catch (error) {
    await engine[Symbol.asyncDispose]();
    throw error;
  }
}
