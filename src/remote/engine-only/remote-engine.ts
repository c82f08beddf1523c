import { Duplex } from "node:stream";
import type { StreamAddress } from "../../engine/connect/endpoint.ts";
import type { ProgramConnection } from "../../engine/connect/program-connection.ts";
import { openEngine } from "../../engine/open/open-engine.ts";
import type { Engine } from "../../engine/engine.ts";
import type { Failure } from "../../output/errors.ts";
import type { SharedRequest } from "../../request.ts";
import type { Traffic } from "../../traffic.ts";
import type { Context } from "../../transfer.ts";
import { connectToEngine } from "./engine-connection.ts";
import { withinAnswerTimeout, type RemoteCommand } from "../login/remote-command.ts";

/** An engine behind the stdin and stdout of a remote command. */
export interface RemoteEngine extends AsyncDisposable {
  readonly engine: Engine;
  readonly traffic: Traffic;
  /** Aborted, with a Failure, when the connection is lost. */
  readonly signal: AbortSignal;
}

export interface RemoteEngineOptions {
  /** For messages: the location of the engine, and the path to it. */
  address: { host: string; source: string };
  /** The running command. Disposing of the engine ends it. */
  link: RemoteCommand;
  /** Runs the command once more. */
  again: () => RemoteCommand;
  /** The engine speaks HTTP/2. */
  speaksHttp2?: boolean;
  request: Pick<SharedRequest, "timeout" | "compress">;
  context: Context;
}

/**
 * Opens the engine behind a remote command's stdin and stdout. All requests share one connection. A second run of the command opens another
 * connection after an answer was aborted on purpose, and for gRPC, because a connection that is upgraded to gRPC carries nothing else.
 */
export async function openRemoteEngine(options: RemoteEngineOptions): Promise<RemoteEngine> {
  const links = new Links(options);
  try {
    const engine = await openWithin(options, links);
    return {
      engine,
      traffic: links.traffic,
      signal: links.lost,
      async [Symbol.asyncDispose]() {
        await engine[Symbol.asyncDispose]();
        await links[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await links[Symbol.asyncDispose]();
    throw error;
  }
}

/** Opens the engine. Stops when the transfer is stopped, or when the remote side does not answer in time. */
async function openWithin(options: RemoteEngineOptions, links: Links): Promise<Engine> {
  const { address, link, speaksHttp2, request, context } = options;
  const { compress, timeout } = request;
  const stream: StreamAddress = {
    protocol: "stream",
    open: () => links.open(),
    another: () => links.another(),
    speaksHttp2,
    gzipLevel: compress?.how === "none" ? 0 : compress?.level,
  };
  const life = new AbortController();
  const stop = AbortSignal.any([context.signal, life.signal]);
  return await withinAnswerTimeout(link, request, context.signal, async (signal) => {
    const onAbort = (): void => life.abort(signal.reason);
    signal.addEventListener("abort", onAbort);
    return await openEngine({ ...address, address: stream }, stop, { timeout }).finally(() =>
      signal.removeEventListener("abort", onAbort),
    );
  });
}

/** The remote command, run once or more, and the connections over its stdin and stdout. Disposing ends every run. */
class Links implements AsyncDisposable {
  readonly #options: RemoteEngineOptions;
  readonly #links: RemoteCommand[];
  readonly #connections: ProgramConnection[] = [];
  readonly #lost = new AbortController();

  constructor(options: RemoteEngineOptions) {
    this.#options = options;
    this.#links = [options.link];
  }

  /** Aborted, with a Failure, when the shared connection is lost. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  get traffic(): Traffic {
    const sum = (count: "bytesRead" | "bytesWritten"): number =>
      this.#connections.reduce((all, connection) => all + connection[count], 0);
    return {
      get bytesSent() {
        return sum("bytesWritten");
      },
      get bytesReceived() {
        return sum("bytesRead");
      },
    };
  }

  /** Connects for all requests: over the running command, or over a new run after that connection has ended. */
  open(): Duplex {
    if (this.lost.aborted) return broken(this.lost.reason as Failure);
    const link = this.#connections.length === 0 ? this.#options.link : this.#runAgain();
    return this.#connect(link, (failure) => this.#lost.abort(failure));
  }

  /** Connects for gRPC. The loss of this connection fails only the request that uses it, which has a fallback. */
  another(): Duplex {
    const { address, context } = this.#options;
    context.output.note({ code: "connecting-again", host: address.host });
    return this.#connect(this.#runAgain(), () => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#links.map(async (link) => await link[Symbol.asyncDispose]()));
  }

  #runAgain(): RemoteCommand {
    const link = this.#options.again();
    this.#links.push(link);
    return link;
  }

  #connect(link: RemoteCommand, onLost: (failure: Failure) => void): Duplex {
    const connection = connectToEngine(link, onLost);
    this.#connections.push(connection);
    return connection;
  }
}

/** Returns a connection whose every write fails. */
function broken(failure: Failure): Duplex {
  return new Duplex({ read() {}, write: (_chunk, _encoding, done) => done(failure) });
}
