import { Duplex } from "node:stream";
import type { StreamAddress } from "../engine/connect/endpoint.ts";
import type { ProgramConnection } from "../engine/connect/program-connection.ts";
import { openEngine } from "../engine/open/open-engine.ts";
import type { Engine } from "../engine/engine.ts";
import type { Failure } from "../output/errors.ts";
import type { TransferOptions } from "../request.ts";
import type { Context, Traffic } from "../transfer.ts";
import { connectToEngine } from "./engine-connection.ts";
import { withinAnswerTimeout, type RemoteCommand } from "./remote-command.ts";

/** An engine behind the stdin and stdout of a remote command. */
export interface RemoteEngine extends AsyncDisposable {
  readonly engine: Engine;
  readonly traffic: Traffic;
  /** Aborted, with a Failure, when the connection is lost. */
  readonly signal: AbortSignal;
}

export interface RemoteEngineOptions {
  /** For messages: where the engine is, and how it is reached. */
  address: { host: string; source: string };
  /** The command, which runs already. It is ended when the engine is disposed of. */
  link: RemoteCommand;
  /** Runs the command once more. */
  again: () => RemoteCommand;
  /** The engine speaks HTTP/2. */
  speaksHttp2?: boolean;
  request: Pick<TransferOptions, "timeout" | "compress">;
  context: Context;
}

/**
 * Opens the engine behind a remote command's stdin and stdout. All requests share one connection. A second one is opened, by running the
 * command once more, after an answer was broken off on purpose, and for gRPC where a connection that is switched to it carries nothing else.
 */
export async function openRemoteEngine(options: RemoteEngineOptions): Promise<RemoteEngine> {
  const { address, link, again, speaksHttp2, request, context } = options;
  const links = [link];
  const connections: ProgramConnection[] = [];
  const lost = new AbortController();
  const open = (): Duplex => {
    if (lost.signal.aborted) return broken(lost.signal.reason as Failure);
    if (connections.length > 0) links.push(again());
    const connection = connectToEngine(links.at(-1) ?? link, (failure) => lost.abort(failure));
    connections.push(connection);
    return connection;
  };
  /** Its loss fails only the request that needs it, which can do without. */
  const another = (): Duplex => {
    context.output.note({ code: "connecting-again", host: address.host });
    links.push(again());
    const connection = connectToEngine(links.at(-1) ?? link, () => {});
    connections.push(connection);
    return connection;
  };
  const close = async (): Promise<void> => {
    await Promise.all(links.map(async (one) => await one[Symbol.asyncDispose]()));
  };
  const sum = (count: "bytesRead" | "bytesWritten"): number => connections.reduce((all, one) => all + one[count], 0);
  const life = new AbortController();
  const stop = AbortSignal.any([context.signal, life.signal]);
  try {
    const { compress } = request;
    const gzipLevel = compress?.how === "none" ? 0 : compress?.level;
    const stream: StreamAddress = { protocol: "stream", open, another, speaksHttp2, gzipLevel };
    const endpoint = { ...address, address: stream };
    const engine = await withinAnswerTimeout(link, request, context.signal, async (signal) => {
      const onAbort = (): void => life.abort(signal.reason);
      signal.addEventListener("abort", onAbort);
      return await openEngine(endpoint, stop, { timeout: request.timeout }).finally(() =>
        signal.removeEventListener("abort", onAbort),
      );
    });
    return {
      engine,
      traffic: {
        get bytesSent() {
          return sum("bytesWritten");
        },
        get bytesReceived() {
          return sum("bytesRead");
        },
      },
      signal: lost.signal,
      async [Symbol.asyncDispose]() {
        await engine[Symbol.asyncDispose]();
        await close();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Returns a connection whose every write fails. */
function broken(failure: Failure): Duplex {
  return new Duplex({ read() {}, write: (_chunk, _encoding, done) => done(failure) });
}
