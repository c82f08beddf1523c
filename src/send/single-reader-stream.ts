import { Readable } from "node:stream";
import { finished } from "node:stream/promises";
import { deferred } from "../streams/deferred.ts";

/** Bytes that are ready before they are asked for, so that neither side waits for the other's every step. */
const AHEAD = 2 * 1024 * 1024;

export interface SingleReaderOptions {
  /** The reader may want them from another place on: then nothing is begun before it has said so. */
  waits?: boolean;
}

/** Bytes that pass from whoever has them to whoever comes to read them, once, at the reader's pace; none are kept. */
export class SingleReaderStream {
  readonly #open: (from: number) => AsyncIterable<Buffer>;
  readonly #left = deferred<void>();
  #stream: Readable | undefined;
  #wasRead = false;
  #failure: { error: unknown } | undefined;
  #givenUp: { reason: Error } | undefined;

  /** @param open gives the bytes from a place on; called once, and with 0 at once unless it `waits`. */
  constructor(open: (from: number) => AsyncIterable<Buffer>, { waits = false }: SingleReaderOptions = {}) {
    this.#open = open;
    this.#left.promise.catch(() => {}); // done() tells
    if (!waits) this.#begin(0);
  }

  #begin(from: number): Readable {
    const stream = Readable.from(this.#watched(this.#open(from)), { objectMode: false, highWaterMark: AHEAD });
    this.#stream = stream;
    finished(stream, { writable: false }).then(this.#left.resolve, () => this.#left.resolve());
    stream.on("error", () => {}); // whoever reads it hears of it, and done() tells
    stream.read(0); // begins
    return stream;
  }

  /**
   * The bytes, for one reader, from `from` on, or from the `first` one when they have been begun with. The stream fails with what
   * their source fails with.
   */
  read(from = 0): { first: number; stream: Readable } {
    if (this.#wasRead) throw new Error("it has been read already, and is not kept");
    this.#wasRead = true;
    if (this.#stream !== undefined) return { first: 0, stream: this.#stream };
    if (this.#givenUp !== undefined) throw this.#givenUp.reason;
    return { first: from, stream: this.#begin(from) };
  }

  /** Resolves when it has been read, or left. Rejects with what the source failed with, or it was given up for. */
  async done(): Promise<void> {
    await this.#left.promise;
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Nobody will read it any more. A source that does not move is not waited for. */
  giveUp(reason: Error): void {
    this.#givenUp = { reason };
    this.#left.reject(reason);
    this.#stream?.destroy(reason);
  }

  /** Tells the source's own failure from the reader's leaving, which comes in at the `yield`. */
  async *#watched(bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    const source = bytes[Symbol.asyncIterator]();
    const next = async (): Promise<IteratorResult<Buffer>> => {
      try {
        return await source.next();
      } catch (error) {
        this.#failure = { error };
        throw error;
      }
    };
    try {
      for (let { done, value } = await next(); !done; { done, value } = await next()) yield value;
    } finally {
      await source.return?.();
    }
  }
}
