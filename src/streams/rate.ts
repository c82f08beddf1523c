import { Readable, Writable } from "node:stream";
import { TokenBucket } from "./token-bucket.ts";

/**
 * Returns a stream that reads `source` at no more than `rate` bytes a second. Returns `source` itself if the rate is 0 or undefined. The
 * stream ends and fails with `source`, also if `source` closes without an end. Destroying it destroys `source`. Buffers one chunk.
 */
export function readAtRate(source: Readable, rate: number | undefined): Readable {
  return rate ? new RatedReadable(source, rate) : source;
}

/**
 * Returns a stream that writes to `sink` at no more than `rate` bytes a second. Returns `sink` itself if the rate is 0 or undefined. A
 * write is complete when `sink` has accepted it. End, errors and destruction are passed on in both directions.
 */
export function writeAtRate(sink: Writable, rate: number | undefined): Writable {
  return rate ? new RatedWritable(sink, rate) : sink;
}

class RatedReadable extends Readable {
  readonly #source: Readable;
  readonly #bucket: TokenBucket;
  #pending: Buffer = Buffer.alloc(0);
  #isWanted = false;
  #hasEnded = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(source: Readable, rate: number) {
    super();
    this.#source = source;
    this.#bucket = new TokenBucket(rate);
    source.on("data", (chunk: Buffer) => {
      source.pause();
      // Node resumes a child's stdout when the child has ended, even if this code paused it.
      this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
      this.#give();
    });
    source.pause();
    source.on("error", (error) => this.destroy(error));
    for (const end of ["end", "close"]) {
      source.once(end, () => {
        this.#hasEnded = true;
        this.#give();
      });
    }
  }

  override _read(): void {
    this.#isWanted = true;
    this.#give();
  }

  #give(): void {
    if (this.#timer !== undefined || this.destroyed) return;
    while (this.#isWanted && this.#pending.length > 0) {
      const count = this.#bucket.take(this.#pending.length);
      if (count === 0) return this.#later(this.#bucket.wait(this.#pending.length));
      const allowed = this.#pending.subarray(0, count);
      this.#pending = this.#pending.subarray(count);
      this.#isWanted = this.push(allowed);
    }
    if (this.#pending.length > 0) return;
    if (this.#hasEnded) this.push(null);
    else this.#source.resume();
  }

  #later(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#give();
    }, ms);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.#timer);
    this.#source.destroy();
    done(error);
  }
}

type Done = (error?: Error | null) => void;

class RatedWritable extends Writable {
  readonly #sink: Writable;
  readonly #bucket: TokenBucket;
  #timer: NodeJS.Timeout | undefined;

  constructor(sink: Writable, rate: number) {
    super();
    this.#sink = sink;
    this.#bucket = new TokenBucket(rate);
    sink.on("error", (error) => this.destroy(error));
    sink.once("close", () => this.destroy());
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, done: Done): void {
    if (chunk.length === 0) return done();
    const count = this.#bucket.take(chunk.length);
    if (count === 0) {
      const again = (): void => this._write(chunk, encoding, done);
      this.#timer = setTimeout(again, this.#bucket.wait(chunk.length));
      return;
    }
    this.#sink.write(chunk.subarray(0, count), (error) => {
      if (error || count === chunk.length) done(error);
      else this._write(chunk.subarray(count), encoding, done);
    });
  }

  override _final(done: Done): void {
    this.#sink.end(done);
  }

  override _destroy(error: Error | null, done: Done): void {
    clearTimeout(this.#timer);
    this.#sink.destroy();
    done(error);
  }
}
