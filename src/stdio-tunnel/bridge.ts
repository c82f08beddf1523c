import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { join } from "../streams/join.ts";
import type { Tunnel } from "./session.ts";

/** A TCP port of this machine that leads to a service of the far end. */
export interface Door extends AsyncDisposable {
  /** On 127.0.0.1. */
  readonly port: number;
}

/** The connect side (receiver): every connection to a free port of 127.0.0.1 becomes a stream to `service`. */
export async function openDoor(tunnel: Tunnel, service: string): Promise<Door> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    try {
      join(socket, tunnel.connect(service));
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
