import { Readable } from "node:stream";
import { finished } from "node:stream/promises";

/** Bytes that are ready before they are asked for, so that neither side waits for the other's every step. */
const AHEAD = 4 * 1024 * 1024;

/** Bytes that pass from whoever has them to whoever comes to read them, once, at the reader's pace; none are kept. */
export class HandOver {
  readonly #stream: Readable;
  #wasRead = false;
  #failure: { error: unknown } | undefined;

  constructor(bytes: AsyncIterable<Buffer>) {
    this.#stream = Readable.from(this.#watched(bytes), { objectMode: false, highWaterMark: AHEAD });
    this.#stream.on("error", () => {}); // whoever reads it hears of it, and done() tells
    this.#stream.read(0); // begins
  }

  /** The bytes, for one reader. It fails with what their source fails with. */
  read(): Readable {
    if (this.#wasRead) throw new Error("it has been read already, and is not kept");
    this.#wasRead = true;
    return this.#stream;
  }

  /** Resolves when it has been read, or left. Rejects with what the source failed with. */
  async done(): Promise<void> {
    await finished(this.#stream, { writable: false }).catch(() => {});
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  giveUp(reason: Error): void {
    this.#stream.destroy(reason);
  }

  async *#watched(bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    try {
      yield* bytes;
    } catch (error) {
      this.#failure = { error };
      throw error;
    }
  }
}
