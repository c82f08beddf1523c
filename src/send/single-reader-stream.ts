import { Readable } from "node:stream";
import { finished } from "node:stream/promises";
import { deferred } from "../streams/deferred.ts";

/** Bytes that are read ahead, so that source and reader do not wait for each other at every step. */
const READ_AHEAD = 2 * 1024 * 1024;

export interface SingleReaderOptions {
  /** Opens the source when the reader starts, because the reader may request the bytes from an offset. */
  startsWhenRead?: boolean;
}

/** Passes a source's bytes to one reader, once, at the reader's pace, without storing them. */
export class SingleReaderStream {
  readonly #open: (from: number) => AsyncIterable<Buffer>;
  readonly #ended = deferred<void>();
  #stream: Readable | undefined;
  #wasRead = false;
  #sourceFailure: { error: unknown } | undefined;
  #givenUp: { reason: Error } | undefined;

  /** @param open returns the bytes from an offset; called once, immediately and with 0 unless `startsWhenRead` is set */
  constructor(open: (from: number) => AsyncIterable<Buffer>, { startsWhenRead = false }: SingleReaderOptions = {}) {
    this.#open = open;
    this.#ended.promise.catch(() => {}); // done() rejects with it
    if (!startsWhenRead) this.#start(0);
  }

  #start(from: number): Readable {
    const stream = Readable.from(this.#watched(this.#open(from)), { objectMode: false, highWaterMark: READ_AHEAD });
    this.#stream = stream;
    finished(stream, { writable: false }).then(this.#ended.resolve, () => this.#ended.resolve());
    stream.on("error", () => {}); // the reader gets it, and done() rejects with it
    stream.read(0); // starts reading
    return stream;
  }

  /**
   * Returns the bytes, for one reader: from the offset `from`, or from the `first` byte if the source has already been opened. The stream
   * fails with the source's error. Throws if the stream has already been read or given up.
   */
  read(from = 0): { first: number; stream: Readable } {
    if (this.#wasRead) throw new Error("the stream has been read, and its bytes are not stored");
    this.#wasRead = true;
    if (this.#stream !== undefined) return { first: 0, stream: this.#stream };
    if (this.#givenUp !== undefined) throw this.#givenUp.reason;
    return { first: from, stream: this.#start(from) };
  }

  /** Resolves when the reader has read the bytes, or closed the stream. Rejects with the source's error, or the reason of giveUp(). */
  async done(): Promise<void> {
    await this.#ended.promise;
    if (this.#sourceFailure !== undefined) throw this.#sourceFailure.error;
  }

  /** Ends the stream for its reader, without waiting for a source that hangs. */
  giveUp(reason: Error): void {
    this.#givenUp = { reason };
    this.#ended.reject(reason);
    this.#stream?.destroy(reason);
  }

  /** Distinguishes the source's error from a reader that closes the stream, which ends the loop at the `yield`. */
  async *#watched(bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    const source = bytes[Symbol.asyncIterator]();
    const next = async (): Promise<IteratorResult<Buffer>> => {
      try {
        return await source.next();
      } catch (error) {
        this.#sourceFailure = { error };
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
