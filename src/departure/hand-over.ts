import { Readable } from "node:stream";
import { finished } from "node:stream/promises";
import { deferred } from "../streams/deferred.ts";

/** Bytes that are ready before they are asked for, so that neither side waits for the other's every step. */
const AHEAD = 4 * 1024 * 1024;

/** Bytes that pass from whoever has them to whoever comes to read them, once, at the reader's pace; none are kept. */
export class HandOver {
  readonly #stream: Readable;
  readonly #givenUp = deferred<never>();
  #wasRead = false;
  #failure: { error: unknown } | undefined;

  constructor(bytes: AsyncIterable<Buffer>) {
    this.#stream = Readable.from(this.#watched(bytes), { objectMode: false, highWaterMark: AHEAD });
    this.#givenUp.promise.catch(() => {}); // done() tells
    this.#stream.on("error", () => {}); // whoever reads it hears of it, and done() tells
    this.#stream.read(0); // begins
  }

  /** The bytes, for one reader. It fails with what their source fails with. */
  read(): Readable {
    if (this.#wasRead) throw new Error("it has been read already, and is not kept");
    this.#wasRead = true;
    return this.#stream;
  }

  /** Resolves when it has been read, or left. Rejects with what the source failed with, or it was given up for. */
  async done(): Promise<void> {
    await Promise.race([finished(this.#stream, { writable: false }).catch(() => {}), this.#givenUp.promise]);
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Nobody will read it any more. A source that does not move is not waited for. */
  giveUp(reason: Error): void {
    this.#stream.destroy(reason);
    this.#givenUp.reject(reason);
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
