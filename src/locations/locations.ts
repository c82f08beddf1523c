import { setImmediate } from "node:timers/promises";
import type { Engine } from "../engine/engine.ts";
import { inputKind, isStdin } from "../image/open/archive-input.ts";
import type { FileLocation } from "../image/location.ts";
import { Failure } from "../output/errors.ts";
import type { Target } from "../receive/target.ts";
import type { Connection, PullRequest, PushRequest, SourceEngine, TargetEngine } from "../request.ts";
import type { Source } from "../send/source.ts";
import type { Context } from "../transfer.ts";

/** A location that is being opened. Disposing cancels the opening, or disposes of the opened location. */
export interface OpeningLocation<T> extends AsyncDisposable {
  opened: Promise<T>;
  /**
   * Returns whether opening may take longer than a remote side waits for the first message; if so, the remote command starts afterwards.
   * Default: false.
   */
  takesTime?(): Promise<boolean>;
}

/**
 * Begins to open the location that an image is sent from. Throws a `usage` Failure for a source on stdin if stdin is the tunnel.
 *
 * @param engine the engine of this side, which has the delta bases of a partial archive
 */
export function openSource(
  { source, connection, timeout, dryRun }: PushRequest,
  context: Context,
  engine?: Pick<TargetEngine, "endpoint">,
): OpeningLocation<Source> {
  if (source.kind !== "docker-daemon") {
    refuseTunnelAsArchive(source, connection);
    const opened = opening(connection, context, async ({ archiveSource, connect }, signal) => {
      return await archiveSource(source, {
        ...context,
        signal,
        dryRun,
        engine: engine && (async () => await connect(engine.endpoint, timeout, context, signal)),
      });
    });
    return { ...opened, takesTime: async () => await takesTime(source) };
  }
  return opening(connection, context, async ({ connect, engineSource }, stop) =>
    engineSource(await connect(source.endpoint, timeout, context, stop), source.registry, source.image),
  );
}

/** Resolves to a source that is being opened, when it has checked that the image of the request can be sent. */
export function checkedSource(
  { opened }: Pick<OpeningLocation<Source>, "opened">,
  request: PushRequest,
): Promise<Source> {
  const checked = opened.then(async (source) => {
    await source.check(request);
    return source;
  });
  checked.catch(() => {}); // the code that awaits it gets the error
  return checked;
}

/** Begins to open the engine of this side that has the image. */
export function openEngine({ source, connection, timeout }: PushRequest, context: Context): OpeningLocation<Engine> {
  const endpoint = source.kind === "docker-daemon" ? source.endpoint : undefined;
  return opening(connection, context, async ({ connect }, stop) => await connect(endpoint, timeout, context, stop));
}

/** Opens the sources of several images of a command line. Images in an engine share the connection to it, which this object owns. */
export class Sources implements AsyncDisposable {
  readonly #context: Context;
  #engine: OpeningLocation<Engine> | undefined;

  constructor(context: Context) {
    this.#context = context;
  }

  /** Like {@link openSource}. */
  open(request: PushRequest): OpeningLocation<Source> {
    const { source } = request;
    if (source.kind !== "docker-daemon") return openSource(request, this.#context);
    const opened = this.#openInEngine(request, source);
    opened.catch(() => {}); // the code that awaits it gets the error
    return { opened, [Symbol.asyncDispose]: async () => {} };
  }

  /** Returns the engine that contains the image of a request. This object owns the engine. */
  async engineOf(request: PushRequest): Promise<Engine> {
    this.#engine ??= openEngine(request, this.#context);
    return await this.#engine.opened;
  }

  async #openInEngine(request: PushRequest, source: SourceEngine): Promise<Source> {
    const engine = await this.engineOf(request);
    const { engineSource } = await import("./open-locations.ts");
    return engineSource(engine, source.registry, source.image);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#engine?.[Symbol.asyncDispose]();
  }
}

function refuseTunnelAsArchive({ given, path }: FileLocation, connection: Connection): void {
  if (connection.kind !== "spawned" || !isStdin(path)) return;
  throw new Failure("usage", `${given} is stdin, but without a command stdin is the tunnel`, {
    expected: "a remote command, or an archive in a file",
    hint: `docker save IMAGE | docker-over-ssh push ${given} ssh HOST "docker-over-ssh pull IMAGE"`,
  });
}

/** Returns whether an archive must be read to its end before anything is known about it. */
async function takesTime({ path }: FileLocation): Promise<boolean> {
  const input = await inputKind(path).catch(() => undefined); // opening it fails for the same reason, with a better message
  return input === "compressed" || input === "stream";
}

/** Begins to open the location that an image is received into. */
export function openTarget(
  { target, partial, connection, timeout }: PullRequest,
  context: Context,
): OpeningLocation<Target> {
  if (target.kind !== "docker-daemon") {
    const stdoutIsTunnel = connection.kind === "spawned";
    return opening(connection, context, async ({ archiveTarget, connect, layoutTarget }, stop) => {
      if (target.kind === "oci") return await layoutTarget(target);
      const { list, engine } = partial ?? {};
      const open = engine && (async () => await connect(engine.endpoint, timeout, context, stop));
      return await archiveTarget(target, stdoutIsTunnel, list && { list, engine: open });
    });
  }
  return opening(connection, context, async ({ connect, ownEngineTarget }, stop) =>
    ownEngineTarget(await connect(target.endpoint, timeout, context, stop), target.via),
  );
}

type Openers = typeof import("./open-locations.ts");

/**
 * Begins to open a location. An abort or disposing cancels this, even if the location's engine does not answer. Loading the code takes 25 ms, so a
 * remote command is started first, in the rest of this turn of the event loop.
 */
function opening<T extends AsyncDisposable>(
  connection: Connection,
  { signal }: Context,
  open: (openers: Openers, signal: AbortSignal) => Promise<T>,
): OpeningLocation<T> {
  const leaving = new AbortController();
  const stop = AbortSignal.any([signal, leaving.signal]);
  const begin = async (): Promise<T> => {
    if (connection.kind !== "spawned") await setImmediate();
    return await open(await import("./open-locations.ts"), stop);
  };
  const opened = begin();
  opened.catch(() => {}); // the code that awaits it gets the error
  return {
    opened,
    async [Symbol.asyncDispose]() {
      leaving.abort(new Error("the location has been disposed of"));
      const owned = await opened.catch(() => undefined);
      await owned?.[Symbol.asyncDispose]();
    },
  };
}
