const NOTHING: Buffer = Buffer.alloc(0);

/** Reads a stream in chunks of a requested length. */
export class ByteReader {
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = NOTHING;

  constructor(chunks: AsyncIterable<Buffer>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** Reads `length` bytes. Returns fewer only at the end of the stream. */
  async take(length: number): Promise<Buffer> {
    if (this.#rest.length < length) {
      const parts = [this.#rest];
      for (let missing = length - this.#rest.length; missing > 0;) {
        const part = await this.#next();
        if (part === undefined) break;
        parts.push(part);
        missing -= part.length;
      }
      this.#rest = Buffer.concat(parts);
    }
    return this.#cut(length);
  }

  /** Reads the available bytes, up to `length`. Returns none only at the end of the stream. */
  async some(length: number): Promise<Buffer> {
    while (this.#rest.length === 0) {
      const part = await this.#next();
      if (part === undefined) return NOTHING;
      this.#rest = part;
    }
    return this.#cut(length);
  }

  /** Stops reading the stream. */
  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  async #next(): Promise<Buffer | undefined> {
    const { done, value } = await this.#chunks.next();
    return done === true ? undefined : value;
  }

  #cut(length: number): Buffer {
    const taken = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return taken;
  }
}
