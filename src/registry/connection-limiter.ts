import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";

export interface ConnectionLimits {
  /** Connections at once that have not shown the password; the oldest makes room for the next, which may be the engine's. */
  strangers: number;
  /** Connections at once that have. An engine opens one for each blob under way, a few more while it looks around. */
  known: number;
  /** ms in which a connection has to show it. */
  timeout: number;
}

const LIMITS: ConnectionLimits = { strangers: 128, known: 128, timeout: 5_000 };
/** ms for a client that is still sending to read that it is refused: what closes at once resets, and takes the answer along. */
const LAST_LOOK = 500;

/**
 * Keeps those who do not know the password from taking the connections of those who do: whoever shares this machine can connect to a port
 * of 127.0.0.1. A connection is a stranger's until a request on it has shown the password.
 */
export class ConnectionLimiter {
  readonly #limits: ConnectionLimits;
  /** With the timer that ends each. In the order in which they came. */
  readonly #strangers = new Map<Duplex, NodeJS.Timeout>();
  readonly #known = new Set<Duplex>();

  constructor(limits: Partial<ConnectionLimits> = {}) {
    this.#limits = { ...LIMITS, ...limits };
  }

  /** Watches over what connects to a server from now on. */
  watch(server: Server): void {
    server.on("connection", (socket: Duplex) => {
      const { strangers, timeout } = this.#limits;
      const [oldest] = this.#strangers.keys();
      if (this.#strangers.size >= strangers) oldest?.destroy();
      this.#strangers.set(socket, setTimeout(() => socket.destroy(), timeout).unref());
      socket.once("close", () => {
        this.#forget(socket);
        this.#known.delete(socket);
      });
    });
  }

  /** A request has shown the password. False when there are too many already: it is to be turned away. */
  admit({ socket }: IncomingMessage): boolean {
    if (this.#known.has(socket)) return true;
    if (this.#known.size >= this.#limits.known) return false;
    this.#forget(socket);
    this.#known.add(socket);
    return true;
  }

  /** Ends the connection when the answer, which is yet to be written, has been: a body that still comes is not waited for. */
  turnAway({ socket }: IncomingMessage, response: ServerResponse): void {
    response.setHeader("connection", "close");
    response.once("finish", () => {
      socket.end();
      setTimeout(() => socket.destroy(), LAST_LOOK).unref();
    });
  }

  #forget(socket: Duplex): void {
    clearTimeout(this.#strangers.get(socket));
    this.#strangers.delete(socket);
  }
}
