import { Agent } from "node:http";
import type { Duplex } from "node:stream";

/**
 * An HTTP agent with a single connection, which can be any stream, such as a program's stdin and stdout. Requests wait for each other, so
 * an answer must be read to its end before the next request. A request that ends before its answer is complete closes the connection, as
 * HTTP/1.1 requires, and the next request opens another one.
 */
export class StreamAgent extends Agent {
  readonly #open: () => Duplex;
  readonly #streams = new Set<Duplex>();

  constructor(open: () => Duplex) {
    super({ keepAlive: true, maxSockets: 1 });
    this.#open = open;
  }

  override createConnection(): Duplex {
    const stream = likeSocket(this.#open());
    this.#streams.add(stream);
    stream.once("close", () => this.#streams.delete(stream));
    return stream;
  }

  override destroy(): void {
    super.destroy();
    // Includes a stream that no request uses yet: the base class does not know it.
    for (const stream of this.#streams) stream.destroy();
  }
}

/** Adds the socket properties that `node:http` uses. Most have no meaning for a stream. */
export function likeSocket(stream: Duplex): Duplex {
  const self = (): Duplex => stream;
  const nothing = { timeout: 0, setKeepAlive: self, setNoDelay: self, setTimeout: self };
  return Object.assign(stream, "unref" in stream ? nothing : { ...nothing, ref: self, unref: self });
}
