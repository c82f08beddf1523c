import { Duplex } from "node:stream";
import type { StreamAddress } from "../engine/connect/endpoint.ts";
import type { ProgramConnection } from "../engine/connect/program-connection.ts";
import { openEngine } from "../engine/docker.ts";
import type { Engine } from "../engine/engine.ts";
import type { Failure } from "../output/errors.ts";
import type { TransferOptions } from "../request.ts";
import type { Context, Traffic } from "../transfer.ts";
import { connectToEngine } from "./engine-connection.ts";
import { firstWord, type RemoteCommand } from "./remote-command.ts";

/** An engine that is spoken to through a far command. */
export interface RemoteEngine extends AsyncDisposable {
  readonly engine: Engine;
  readonly traffic: Traffic;
  /** Aborted, with a Failure, when the link to it is lost. */
  readonly signal: AbortSignal;
}

export interface RemoteEngineOptions {
  /** For messages: what the engine is reached by. */
  address: { host: string; source: string };
  /** The command runs already; it is ended with the engine. */
  link: RemoteCommand;
  /** Runs it once more. */
  again: () => RemoteCommand;
  /** The engine is known to speak HTTP/2. */
  speaksHttp2?: boolean;
  request: Pick<TransferOptions, "timeout" | "compress">;
  context: Context;
}

/**
 * Speaks the Docker API over a far command's stdin and stdout: one connection, from the first request to the last. What is left to do
 * gets another one when we have ended it ourselves, in the middle of an answer that is of no use any more; and gRPC does, where it
 * cannot share it: a connection that is switched to gRPC carries nothing else.
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
  /** What goes wrong with it is told to who wanted it, and may go without. */
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
    const engine = await firstWord(link, request, context.signal, async (signal) => {
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

/** A connection on which nothing can be asked, for that reason. */
function broken(failure: Failure): Duplex {
  return new Duplex({ read() {}, write: (_chunk, _encoding, done) => done(failure) });
}
