import { Duplex, PassThrough } from "node:stream";
import type { BuildContext } from "../../../../src/build-context/build-context.ts";
import { KeptContext, type KeptContextOptions } from "../../../../src/build-context/delta/kept-contexts.ts";
import { PieceMemory } from "../../../../src/build-context/delta/piece-memory.ts";
import { receiveContext, type ReceiveContextOptions } from "../../../../src/build-context/delta/receive-context.ts";
import { sendContext, type SendProgress } from "../../../../src/build-context/delta/send-context.ts";
import { digestOf } from "../../../../src/image/digest.ts";
import { newRunId } from "../../../../src/run/run-id.ts";

export const PROJECT = digestOf("a project");

/** Two ends of a connection, and the bytes that have gone from the near to the far one, and back. */
export interface Link {
  near: Duplex;
  far: Duplex;
  bytes: { there: number; back: number };
}

/** @param cutAfter bytes after which the connection breaks */
export function link({ cutAfter = Infinity } = {}): Link {
  const bytes = { there: 0, back: 0 };
  const [there, back] = [new PassThrough(), new PassThrough()];
  const near = Duplex.from({ readable: back, writable: there });
  const far = Duplex.from({ readable: there, writable: back });
  there.on("data", (chunk: Buffer) => {
    bytes.there += chunk.length;
    if (bytes.there <= cutAfter) return;
    near.destroy();
    far.destroy();
  });
  there.pause();
  back.on("data", (chunk: Buffer) => void (bytes.back += chunk.length));
  back.pause();
  return { near, far, bytes };
}

export interface ExchangeOptions {
  /** The home of each side: the folder of its cache. */
  homes: { near: string; far: string };
  link?: Link;
  near?: { memory?: boolean };
  far?: Partial<ReceiveContextOptions> & Partial<KeptContextOptions>;
  signal?: AbortSignal;
}

export interface Exchanged {
  context: BuildContext;
  sent: SendProgress;
  bytes: Link["bytes"];
}

/** Sends a context from one side to the other, in this process. Rejects with the error of the near side, then of the far side. */
export async function exchange(context: BuildContext, options: ExchangeOptions): Promise<Exchanged> {
  const [sent, received] = await exchangeSettled(context, options);
  if (sent.status === "rejected") throw sent.reason;
  if (received.status === "rejected") throw received.reason;
  return { context: received.value, sent: sent.value, bytes: options.link?.bytes ?? { there: 0, back: 0 } };
}

export async function exchangeSettled(
  context: BuildContext,
  { homes, link: used = link(), near = {}, far = {}, signal = new AbortController().signal }: ExchangeOptions,
): Promise<[PromiseSettledResult<SendProgress>, PromiseSettledResult<BuildContext>]> {
  const runId = newRunId();
  const memory =
    near.memory === false
      ? undefined
      : await PieceMemory.open({ env: { XDG_CACHE_HOME: homes.near }, runId, project: PROJECT });
  const kept = new KeptContext({ env: { XDG_CACHE_HOME: homes.far }, runId: newRunId(), project: PROJECT, ...far });
  return await Promise.allSettled([
    sendContext(used.near, context, { memory, signal }),
    receiveContext(used.far, kept, { signal, ...far }),
  ]);
}
