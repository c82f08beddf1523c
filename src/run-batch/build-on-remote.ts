import { build, type BuildObserver, check, type FinishedBuild } from "../build.ts";
import { openContext } from "../build/open-context.ts";
import type { CheckedBuild } from "../engine/engine-builder.ts";
import type { BuildRequest } from "../request.ts";
import { contextOf, type Connect, type Context } from "../transfer.ts";
import { chooseConnection } from "../remote/connect.ts";

/** Builds with the remote side: docker-over-ssh, or an engine alone. Rejects like {@link build}. */
export async function buildOnRemote(
  given: BuildRequest,
  context: Context,
  observer: BuildObserver,
): Promise<FinishedBuild> {
  const run: Run<FinishedBuild> = async (request, ownContext, connect) =>
    await build(request, ownContext, connect, observer);
  return await withFiles(given, context, run, observer.onFailed);
}

/** Checks a Dockerfile with the remote side. Rejects like {@link check}. */
export async function checkOnRemote(given: BuildRequest, context: Context): Promise<CheckedBuild> {
  return await withFiles(given, context, check);
}

type Run<T> = (request: BuildRequest, context: Context, connect: Connect) => Promise<T>;

async function withFiles<T>(
  given: BuildRequest,
  context: Context,
  run: Run<T>,
  onFailed?: BuildObserver["onFailed"],
): Promise<T> {
  const { files, order } = given.build;
  const ownContext = contextOf(given, context);
  const reading = new AbortController();
  const signal = AbortSignal.any([ownContext.signal, reading.signal]);
  const opened = files && openContext(files, order.dockerfile, { ...ownContext, signal });
  opened?.catch(() => {}); // the build reports it
  const request = { ...given, build: { ...given.build, opened } };
  try {
    const connect = await chooseConnection(request, ownContext);
    return await run(request, ownContext, files?.kind === "stdin" ? endingWith(connect, reading) : connect);
  } catch (error) {
    context.signal.throwIfAborted();
    reading.abort(error);
    await onFailed?.(error, await opened?.catch(() => undefined));
    throw error;
  } finally {
    await opened?.then(async (openedFiles) => await openedFiles[Symbol.asyncDispose]()).catch(() => {});
  }
}

/** Stops reading when the connection fails: a program that writes an archive to stdin may take an hour, and nothing waits for it any longer. */
function endingWith(connect: Connect, reading: AbortController): Connect {
  return async (use, options) => {
    try {
      return await connect(use, options);
    } catch (error) {
      reading.abort(error);
      throw error;
    }
  };
}
