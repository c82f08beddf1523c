import { fstatSync } from "node:fs";
import { Socket } from "node:net";
import { Duplex, type Readable, type Writable } from "node:stream";
import { readAtRate, writeAtRate } from "../streams/rate.ts";
import { MAX_BACKLOG } from "./constants.ts";

type Done = (error?: Error | null) => void;

/**
 * A Duplex over a readable and a writable half. It counts the bytes in both directions.
 *
 * It owns both halves, and destroys them when it is destroyed. It fails with the error of either half. It ends with the readable half, and
 * ending it ends the writable half.
 *
 * A pending write does not block reading: while received bytes are unread, a write counts as complete before the sink has accepted it.
 * Node's HTTP/2 does not read while it writes (nodejs/node#29399), so two sides with much to send would otherwise wait for each other for
 * ever.
 */
export class StdioTransport extends Duplex {
  readonly #source: Readable;
  readonly #sink: Writable;
  /** Bytes received so far. */
  bytesRead = 0;
  /** Bytes sent so far. */
  bytesWritten = 0;
  /** Completes the write that the sink has not yet accepted. */
  #release: Done | undefined;

  constructor(source: Readable, sink: Writable) {
    super({ allowHalfOpen: true });
    this.#source = source;
    this.#sink = sink;
    source.on("data", (chunk: Buffer) => {
      this.bytesRead += chunk.length;
      if (!this.push(chunk)) source.pause();
      this.#yield();
    });
    source.pause();
    source.once("end", () => this.push(null));
    for (const half of [source, sink]) {
      half.on("error", (error) => this.destroy(error));
      half.once("close", () => this.#halfClosed(half));
    }
  }

  // A pipe that closes without "end", because the process at its other end was killed, counts as ended.
  #halfClosed(half: Readable | Writable): void {
    if (half === this.#source && !this.readableEnded) this.push(null);
  }

  override _read(): void {
    this.#source.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#send([{ chunk }], done);
  }

  // Writes the many small frames of a session with one system call.
  override _writev(chunks: { chunk: Buffer }[], done: Done): void {
    this.#send(chunks, done);
  }

  #send(chunks: { chunk: Buffer }[], done: Done): void {
    const release: Done = (error) => {
      if (this.#release === release) {
        this.#release = undefined;
        done(error);
      } else if (error) this.destroy(error); // the write was completed before its error
    };
    this.#release = release;
    this.#sink.cork();
    chunks.forEach(({ chunk }, index) => {
      this.bytesWritten += chunk.length;
      this.#sink.write(chunk, index === chunks.length - 1 ? release : undefined);
    });
    this.#sink.uncork();
    this.#yield();
  }

  #yield(): void {
    if (this.readableLength > 0 && this.#sink.writableLength < MAX_BACKLOG) this.#release?.();
  }

  override _final(done: Done): void {
    if (this.#sink.destroyed || this.#sink.writableEnded) return done();
    this.#sink.end(done);
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#source.destroy();
    this.#sink.destroy();
    done(error);
  }
}

/**
 * Returns this process's stdin and stdout as a transport.
 *
 * `process.stdout` writes to pipes synchronously and blocks the process while the peer does not read (Node's "Process I/O" note), so the
 * descriptors are opened as sockets. Files and devices (`< /dev/null`) cannot be sockets, so the standard streams are used for them.
 *
 * @param rate limit of bytes per second in, and of bytes per second out
 */
export function ownStdio(rate?: number): StdioTransport {
  const isStream = (fd: number): boolean => {
    const kind = fstatSync(fd);
    return kind.isFIFO() || kind.isSocket();
  };
  const source = isStream(0) ? new Socket({ fd: 0, readable: true, writable: false }) : process.stdin;
  const sink = isStream(1) ? new Socket({ fd: 1, readable: false, writable: true }) : process.stdout;
  return new StdioTransport(readAtRate(source, rate), writeAtRate(sink, rate));
}
