import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";

export interface ConnectionLimits {
  /** The maximum number of unauthenticated connections. A further connection closes the oldest, because the new one may be the engine's. */
  unauthenticated: number;
  /** The maximum number of authenticated connections. An engine opens one for each blob in transit, and a few more. */
  authenticated: number;
  /** ms within which a connection must authenticate. */
  timeout: number;
}

const LIMITS: ConnectionLimits = { unauthenticated: 128, authenticated: 128, timeout: 5_000 };
/** ms that a refused client gets to read the answer: closing immediately would reset the connection, and the answer would be lost. */
const TIME_TO_READ = 500;

/**
 * Prevents clients without the password from using up the connections of clients with the password: every user of this machine can connect
 * to a port of 127.0.0.1. A connection is unauthenticated until a request on it has contained the password.
 */
export class ConnectionLimiter {
  readonly #limits: ConnectionLimits;
  /** The connections, each with the timer that closes it; the oldest first. */
  readonly #unauthenticated = new Map<Duplex, NodeJS.Timeout>();
  readonly #authenticated = new Set<Duplex>();

  constructor(limits: Partial<ConnectionLimits> = {}) {
    this.#limits = { ...LIMITS, ...limits };
  }

  /** Limits the connections that a server accepts from now on. */
  watch(server: Server): void {
    server.on("connection", (socket: Duplex) => {
      const { unauthenticated, timeout } = this.#limits;
      const [oldest] = this.#unauthenticated.keys();
      if (this.#unauthenticated.size >= unauthenticated) oldest?.destroy();
      this.#unauthenticated.set(socket, setTimeout(() => socket.destroy(), timeout).unref());
      socket.once("close", () => {
        this.#stopTimer(socket);
        this.#authenticated.delete(socket);
      });
    });
  }

  /**
   * Counts the connection of a request with the password as authenticated. Returns false if there are too many; the caller refuses the
   * request.
   */
  admit({ socket }: IncomingMessage): boolean {
    if (this.#authenticated.has(socket)) return true;
    if (this.#authenticated.size >= this.#limits.authenticated) return false;
    this.#stopTimer(socket);
    this.#authenticated.add(socket);
    return true;
  }

  /** Closes the connection after the answer, which the caller writes next, without waiting for the rest of the request's body. */
  refuse({ socket }: IncomingMessage, response: ServerResponse): void {
    response.setHeader("connection", "close");
    response.once("finish", () => {
      socket.end();
      setTimeout(() => socket.destroy(), TIME_TO_READ).unref();
    });
  }

  #stopTimer(socket: Duplex): void {
    clearTimeout(this.#unauthenticated.get(socket));
    this.#unauthenticated.delete(socket);
  }
}
