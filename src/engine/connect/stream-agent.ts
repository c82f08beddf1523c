import { Agent } from "node:http";
import type { Duplex } from "node:stream";

/**
 * HTTP over one connection that is made of any stream, such as a program's stdin and stdout. Requests wait for each other, so
 * no answer may be left open while another question is asked. A request that is ended before its answer is complete takes
 * the connection along (HTTP/1.1 has no other way), and the next request opens another one.
 */
export class StreamAgent extends Agent {
  readonly #open: () => Duplex;
  readonly #streams = new Set<Duplex>();

  constructor(open: () => Duplex) {
    super({ keepAlive: true, maxSockets: 1 });
    this.#open = open;
  }

  override createConnection(): Duplex {
    const stream = withFaceOfSocket(this.#open());
    this.#streams.add(stream);
    stream.once("close", () => this.#streams.delete(stream));
    return stream;
  }

  override destroy(): void {
    super.destroy();
    // Also one that the base class does not know: handed out but not yet given to a request.
    for (const stream of this.#streams) stream.destroy();
  }
}

/** What `node:http` reads and calls on a socket, most of which has no meaning for a stream. */
export function withFaceOfSocket(stream: Duplex): Duplex {
  const self = (): Duplex => stream;
  const nothing = { timeout: 0, setKeepAlive: self, setNoDelay: self, setTimeout: self };
  return Object.assign(stream, "unref" in stream ? nothing : { ...nothing, ref: self, unref: self });
}
