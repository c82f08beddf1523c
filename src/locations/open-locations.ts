/** What opens places, with all that is behind it: imported when one is opened, see places.ts. */
import type { TransferRequest } from "../request.ts";
import { engineTarget, type Via } from "../receive/engine-target.ts";
import type { Target } from "../receive/target.ts";
import { connectEngine } from "../engine/connect-engine.ts";
import { namedEndpoint } from "../engine/connect/endpoint.ts";
import type { Engine } from "../engine/engine.ts";
import type { Reference } from "../image/reference.ts";
import type { Context } from "../transfer.ts";

export { archiveTarget } from "../receive/file-target.ts";
export { layoutTarget } from "../receive/layout-target.ts";
export { archiveSource } from "../send/archive-source.ts";
export { engineSource } from "../send/engine-source.ts";

export async function connect(
  { host, timeout }: Pick<TransferRequest, "host" | "timeout">,
  { env, output }: Context,
  signal: AbortSignal,
): Promise<Engine> {
  const onAnotherLogin = (): void => output.note("connecting to the engine once more, to read its content store");
  return await connectEngine(namedEndpoint(host, env), env, signal, { timeout, onAnotherLogin });
}

/** As {@link engineTarget}; the engine is disposed of when that fails. */
export async function ownEngineTarget(engine: Engine, via: Via | undefined, called?: Reference): Promise<Target> {
  try {
    return await engineTarget(engine, via, called);
  } catch (error) {
    await engine[Symbol.asyncDispose]();
    throw error;
  }
}
