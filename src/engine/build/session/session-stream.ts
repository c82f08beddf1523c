import { Duplex } from "node:stream";
import type { Client } from "@connectrpc/connect";
import type { Control } from "../../buildkit/gen/control_pb.ts";

type Answer = { data: Uint8Array };
type Write = { data: Buffer; done: (error?: Error | null) => void };

/**
 * The connection on which BuildKit is the client. Its bytes are in the messages of the call `Session`. Over `/grpc`, it needs no connection
 * of its own and no upgrade, so it also works over HTTP/2 with Docker 29. `POST /session` does not, and Docker 29 deprecates it.
 */
export class SessionStream extends Duplex {
  readonly #left = new AbortController();
  #writes: Write[] = [];
  #wake: () => void = () => {};
  #hasEnded = false;
  readonly #answers: AsyncIterator<Answer>;
  #next: Promise<IteratorResult<Answer>>;

  /** @param headers describe the session (moby/buildkit, `session/session.go`) */
  constructor(client: Client<typeof Control>, headers: Headers, signal: AbortSignal) {
    super();
    const stop = AbortSignal.any([this.#left.signal, signal]);
    this.#answers = client.session(this.#outgoing(), { headers, signal: stop })[Symbol.asyncIterator]();
    // Requested at once: otherwise, the library would leave the error of an unread call unhandled.
    this.#next = this.#requestNext();
  }

  override _read(): void {
    this.#next.then(
      ({ done, value }) => {
        if (done === true) return void this.push(null);
        this.#next = this.#requestNext();
        if (value.data.length === 0) return this._read();
        this.push(Buffer.from(value.data.buffer, value.data.byteOffset, value.data.byteLength));
      },
      (error: unknown) => void this.destroy(error as Error),
    );
  }

  override _write(data: Buffer, _encoding: BufferEncoding, done: Write["done"]): void {
    this.#writes.push({ data, done });
    this.#wake();
  }

  override _writev(chunks: { chunk: Buffer }[], done: Write["done"]): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), "binary", done);
  }

  override _final(done: () => void): void {
    this.#hasEnded = true;
    this.#wake();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#left.abort(error ?? new Error("the session has been closed"));
    this.#hasEnded = true;
    this.#wake();
    for (const write of this.#writes.splice(0)) write.done(error);
    done(error);
  }

  #requestNext(): Promise<IteratorResult<Answer>> {
    const answer = this.#answers.next();
    answer.catch(() => {}); // until it is read
    return answer;
  }

  async *#outgoing(): AsyncGenerator<{ data: Uint8Array<ArrayBuffer> }> {
    for (;;) {
      const write = this.#writes.shift();
      if (write !== undefined) {
        yield { data: write.data as Uint8Array<ArrayBuffer> };
        write.done();
      } else if (this.#hasEnded) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}
