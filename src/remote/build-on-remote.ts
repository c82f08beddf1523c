import { build, type BuildObserver, type FinishedBuild } from "../build.ts";
import { openContext } from "../build/open-context.ts";
import type { BuildRequest } from "../request.ts";
import { contextOf, type Context } from "../transfer.ts";
import { chooseConnection } from "./connect.ts";

/** Builds with whatever is on the remote side: docker-over-ssh, or an engine alone. Rejects as {@link build}. */
export async function buildOnRemote(
  given: BuildRequest,
  context: Context,
  observer: BuildObserver,
): Promise<FinishedBuild> {
  const { files, order } = given.build;
  const own = contextOf(given, context);
  const opened = files && openContext(files, order.dockerfile, own);
  opened?.catch(() => {}); // the build reports it
  const request = { ...given, build: { ...given.build, opened } };
  try {
    return await build(request, own, await chooseConnection(request, own), observer);
  } catch (error) {
    context.signal.throwIfAborted();
    await observer.onFailed(error, await opened?.catch(() => undefined));
    throw error;
  } finally {
    await opened?.then(async (one) => await one[Symbol.asyncDispose]()).catch(() => {});
  }
}
