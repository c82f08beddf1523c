import { Duplex } from "node:stream";
import type { BuildContext } from "../../../../src/build-context/build-context.ts";
import { StoredContext, type StoredContextOptions } from "../../../../src/build-context/delta/stored-context.ts";
import { KnownPieces } from "../../../../src/build-context/delta/known-pieces.ts";
import { receiveContext, type ReceiveContextOptions } from "../../../../src/build-context/delta/receive-context.ts";
import { sendContext, type SendProgress } from "../../../../src/build-context/delta/send-context.ts";
import { digestOf } from "../../../../src/image/digest.ts";
import { newRunId } from "../../../../src/run/run-id.ts";

export const PROJECT = digestOf("a project");

/** Two ends of a connection, and the number of bytes sent in each direction. */
export interface Link {
  near: Duplex;
  far: Duplex;
  readonly bytes: { there: number; back: number };
}

/** One end of a connection in memory. A write completes when the other end has read the bytes. */
class End extends Duplex {
  other!: End;
  written = 0;
  readonly #cutAfter: number;
  #go: () => void = () => {};

  constructor(cutAfter: number) {
    super();
    this.#cutAfter = cutAfter;
  }

  override _read(): void {
    const go = this.#go;
    this.#go = () => {};
    go();
  }

  override _write(chunk: Buffer, _: string, done: () => void): void {
    this.written += chunk.length;
    if (this.written > this.#cutAfter) this.destroy();
    else if (this.other.push(chunk)) done();
    else this.other.#go = done;
  }

  override _final(done: () => void): void {
    this.other.push(null);
    done();
  }

  /** Destroys the other end as well, as a connection does. */
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (!this.writableFinished) this.other.destroy();
    done(error);
  }
}

/** @param cutAfter bytes after which the connection breaks */
export function link({ cutAfter = Infinity } = {}): Link {
  const [near, far] = [new End(cutAfter), new End(Infinity)];
  [near.other, far.other] = [far, near];
  return {
    near,
    far,
    get bytes() {
      return { there: near.written, back: far.written };
    },
  };
}

export interface ExchangeOptions {
  /** The home of each side, with its cache folder. */
  homes: { near: string; far: string };
  link?: Link;
  near?: { known?: boolean; listedAt?: number };
  far?: Partial<ReceiveContextOptions> & Partial<StoredContextOptions>;
  signal?: AbortSignal;
}

export interface Exchanged {
  context: BuildContext;
  sent: SendProgress;
  bytes: Link["bytes"];
}

/** Sends a context from one side to the other, in this process. Rejects with the error of the near side, or else with that of the far side. */
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
  const known =
    near.known === false
      ? undefined
      : await KnownPieces.open({
          env: { XDG_CACHE_HOME: homes.near },
          runId,
          project: PROJECT,
          ...near,
        });
  const stored = new StoredContext({ env: { XDG_CACHE_HOME: homes.far }, runId: newRunId(), project: PROJECT, ...far });
  return await Promise.allSettled([
    sendContext(used.near, context, { known, signal }),
    receiveContext(used.far, stored, { signal, ...far }),
  ]);
}
