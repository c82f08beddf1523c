import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { bridge } from "../streams/bridge.ts";
import type { Conversation } from "./conversation.ts";

/** A TCP port of this machine that connects to a service of the sender. */
export interface LocalPortForward extends AsyncDisposable {
  /** On 127.0.0.1. */
  readonly port: number;
}

/** Connections at a time. Each uses one of the tunnel's 128 streams. */
const MAX_CONNECTIONS = 100;
/** ms within which a connection must send its first byte: every user of this machine can connect. */
const FIRST_BYTE_TIMEOUT = 5_000;
/** The maximum bytes of a refusal. A connection that has received more has sent the password. */
const REFUSAL = 4096;

/**
 * Forwards every connection to a free port of 127.0.0.1 to `service` (receiver only). Resets a silent connection. If there are too many
 * connections, also resets the oldest connection that has received no more than a refusal.
 */
export async function openLocalPortForward(tunnel: Conversation, service: string): Promise<LocalPortForward> {
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
    }, FIRST_BYTE_TIMEOUT).unref();
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
