import { build, type FinishedBuild } from "../build.ts";
import { openContext } from "../build/open-context.ts";
import type { OpenedContext } from "../build-context/local-files.ts";
import type { BuildEvent } from "../engine/engine-builds.ts";
import type { BuildRequest } from "../request.ts";
import { contextOf, type Context } from "../transfer.ts";
import { chooseConnection } from "./connect.ts";

export interface BuildObserver {
  onEvent: (event: BuildEvent) => void;
  /** Called when a build fails, with its files if they are open. */
  onFailed: (error: unknown, files: OpenedContext | undefined) => Promise<void>;
}

/** Builds with whatever is on the remote side: docker-over-ssh, or an engine alone. Rejects as {@link build}. */
export async function buildOnRemote(
  given: BuildRequest,
  context: Context,
  { onEvent, onFailed }: BuildObserver,
): Promise<FinishedBuild> {
  const { files, order } = given.build;
  const own = contextOf(given, context);
  const opened = files && openContext(files, order.dockerfile, own);
  opened?.catch(() => {}); // the build reports it
  const request = { ...given, build: { ...given.build, opened } };
  try {
    return await build(request, own, await chooseConnection(request, own), onEvent);
  } catch (error) {
    context.signal.throwIfAborted();
    await onFailed(error, await opened?.catch(() => undefined));
    throw error;
  } finally {
    await opened?.then(async (one) => await one[Symbol.asyncDispose]()).catch(() => {});
  }
}
