import { Duplex } from "node:stream";
import { openEngine } from "../engine/docker.ts";
import type { Engine } from "../engine/engine.ts";
import type { Failure } from "../output/errors.ts";
import type { Surroundings, TransferRequest, Wire } from "../transfer.ts";
import { EngineConnection } from "./engine-connection.ts";
import { firstWord, type FarLink } from "./far-link.ts";

/** An engine that is spoken to through a far command. */
export interface FarEngine extends AsyncDisposable {
  readonly engine: Engine;
  readonly wire: Wire;
  /** Aborted, with a Failure, when the link to it is lost. */
  readonly signal: AbortSignal;
}

export interface FarEngineOptions {
  /** For messages: what the engine is reached by. */
  address: { host: string; source: string };
  /** The command runs already; it is ended with the engine. */
  link: FarLink;
  /** Runs it once more. */
  again: () => FarLink;
  request: TransferRequest;
  around: Surroundings;
}

/**
 * Speaks the Docker API over a far command's stdin and stdout: one connection, from the first request to the last. Only when
 * we have ended it ourselves, in the middle of an answer that is of no use any more, what is left to do gets another one.
 */
export async function openFarEngine({ address, link, again, request, around }: FarEngineOptions): Promise<FarEngine> {
  const links: FarLink[] = [];
  const lost = new AbortController();
  const open = (): Duplex => {
    if (lost.signal.aborted) return new Duplex().destroy(lost.signal.reason as Failure);
    const next = links.length === 0 ? link : again();
    links.push(next);
    return new EngineConnection(next, (failure) => lost.abort(failure));
  };
  const close = async (): Promise<void> => {
    await Promise.all([link, ...links].map(async (one) => await one[Symbol.asyncDispose]()));
  };
  const sum = (count: (link: FarLink) => number): number => links.reduce((all, one) => all + count(one), 0);
  const life = new AbortController();
  const stop = AbortSignal.any([around.signal, life.signal]);
  try {
    const endpoint = { ...address, address: { protocol: "stream" as const, open } };
    const engine = await firstWord(link, request, around.signal, async (signal) => {
      const onAbort = (): void => life.abort(signal.reason);
      signal.addEventListener("abort", onAbort);
      return await openEngine(endpoint, stop).finally(() => signal.removeEventListener("abort", onAbort));
    });
    return {
      engine,
      wire: {
        get bytesSent() {
          return sum(({ far }) => far.transport.bytesWritten);
        },
        get bytesReceived() {
          return sum(({ far }) => far.transport.bytesRead);
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
