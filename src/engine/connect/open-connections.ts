import { Agent } from "node:http";
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import type { EngineAddress } from "./endpoint.ts";
import { StreamAgent } from "./stream-agent.ts";

/** ms for a TCP connection, as in docker/cli. */
const CONNECT_TIMEOUT = 30_000;

/** ms of silence until TCP sends a keep-alive probe: a NAT drops idle connections after some minutes. */
const KEEP_ALIVE_DELAY = 30_000;

/** Opens connections to an engine over a socket, TCP, TLS, ssh or a stream. */
export interface EngineConnections extends AsyncDisposable {
  /** For HTTP/1.1 requests. */
  readonly agent: Agent;
  /** Opens one more connection, for another protocol. The caller owns it. Over a program's stdin and stdout, it runs the program again. */
  another(): Duplex;
}

/**
 * Prepares connections; the first request connects. Disposing closes every connection, in use or not, and waits until their programs have
 * ended.
 */
export async function openConnections(
  address: EngineAddress,
  onAnotherLogin: () => void = () => {},
): Promise<EngineConnections> {
  if (address.protocol === "ssh") {
    const { SshAgent } = await import("./ssh-agent.ts"); // loads the library that starts programs, 50 ms
    const agent = new SshAgent(address);
    return {
      agent,
      another() {
        onAnotherLogin();
        return agent.another();
      },
      async [Symbol.asyncDispose]() {
        agent.destroy();
        await agent.closed();
      },
    };
  }
  const isStream = address.protocol === "stream";
  const agent = isStream ? new StreamAgent(address.open) : new SocketAgent(() => dial(address));
  return {
    agent,
    another: () => (isStream ? (address.another ?? address.open)() : dial(address)),
    async [Symbol.asyncDispose]() {
      agent.destroy();
    },
  };
}

/** No keep-alive: a connection is cheap compared with a request, and if a proxy closed an idle connection, the next request would fail. */
class SocketAgent extends Agent {
  readonly #dial: () => Socket;

  constructor(open: () => Socket) {
    super({ keepAlive: false });
    this.#dial = open;
  }

  override createConnection(): Socket {
    return this.#dial();
  }
}

function dial(address: Exclude<EngineAddress, { protocol: "ssh" | "stream" }>): Socket {
  if (address.protocol !== "tcp") return connect(address.path);
  const { hostname: host, port, tls } = address;
  if (tls === undefined) return limited(connect({ host, port }), "connect");
  const { verify, ...keys } = tls;
  return limited(connectTls({ ...keys, host, port, rejectUnauthorized: verify, ...serverName(host) }), "secureConnect");
}

/** Returns the TLS server name, which must not be an address (RFC 6066, 3). */
function serverName(host: string): { servername?: string } {
  return /^[\d.]+$|:/.test(host) ? {} : { servername: host };
}

function limited<S extends Socket>(socket: S, ready: string): S {
  const giveUp = (): unknown =>
    socket.destroy(Object.assign(new Error(`no answer within ${CONNECT_TIMEOUT / 1000} s`), { code: "ETIMEDOUT" }));
  socket.setTimeout(CONNECT_TIMEOUT, giveUp);
  socket.once(ready, () => socket.setTimeout(0).off("timeout", giveUp));
  socket.setKeepAlive(true, KEEP_ALIVE_DELAY); // watched events may be hours apart
  return socket;
}
