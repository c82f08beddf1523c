import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { bridge } from "../streams/bridge.ts";
import type { Tunnel } from "./session.ts";

/** A TCP port of this machine that leads to a service of the far end. */
export interface LocalPortForward extends AsyncDisposable {
  /** On 127.0.0.1. */
  readonly port: number;
}

/** Connections at once. Each is a stream of the tunnel, of which there are 128. */
const MAX_CONNECTIONS = 100;
/** ms in which a connection has to say something: whoever shares this machine can open them. */
const FIRST_WORD = 5_000;
/** Bytes that the far end answers to a stranger at most. One that has been given more was let in. */
const REFUSAL = 4096;

/**
 * The connect side (receiver): every connection to a free port of 127.0.0.1 becomes a stream to `service`. One on which
 * nothing is said is ended, and where there are too many, the oldest goes that has not been given anything yet.
 */
export async function openLocalPortForward(tunnel: Tunnel, service: string): Promise<LocalPortForward> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    if (sockets.size >= MAX_CONNECTIONS) {
      const stranger = [...sockets].find(({ bytesWritten }) => bytesWritten <= REFUSAL);
      (stranger ?? socket).resetAndDestroy();
      if (stranger === undefined) return;
      sockets.delete(stranger);
    }
    sockets.add(socket);
    const silent = setTimeout(() => {
      if (socket.bytesRead + socket.bytesWritten === 0) socket.resetAndDestroy();
    }, FIRST_WORD).unref();
    socket.once("close", () => {
      clearTimeout(silent);
      sockets.delete(socket);
    });
    try {
      bridge(socket, tunnel.connect(service));
    } catch {
      socket.resetAndDestroy(); // the tunnel has ended
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.resetAndDestroy();
      await closed;
    },
  };
}
