import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { asSocket } from "../../../streams/bridge.ts";
import type { ConnectionLimiter } from "../../connection-limiter.ts";

/** Maximum bytes of a request line and its headers. This is Node's default, but explicit because any program can be the client. */
const MAX_HEADERS = 16 * 1024;

export interface HttpServer {
  /** Answers HTTP on a stream. Owns the stream. */
  accept(stream: Duplex): void;
  /** Listens on a free port of 127.0.0.1, and returns it. */
  listen(): Promise<number>;
  /** Closes every connection, and waits until no request is in progress. */
  close(): Promise<void>;
}

/** Creates an HTTP server whose `listener` resolves when it has answered a request, and never rejects. */
export function createHttpServer(
  listener: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
  connectionLimiter: ConnectionLimiter,
): HttpServer {
  const connections = new Set<Duplex>();
  const answering = new Set<Promise<void>>();
  const server = createServer({ maxHeaderSize: MAX_HEADERS }, (request, response) => {
    const answered = listener(request, response).finally(() => answering.delete(answered));
    answering.add(answered);
  });
  connectionLimiter.watch(server);
  // A layer of many GB on a slow link takes longer than Node's default limit of five minutes.
  server.requestTimeout = 0;
  server.keepAliveTimeout = 60_000;
  // Node tracks only connections that were accepted on a port (observed on 20.20).
  const track = (stream: Duplex): void => {
    connections.add(stream);
    stream.once("close", () => connections.delete(stream));
  };
  server.on("connection", track);
  return {
    accept(stream) {
      server.emit("connection", asSocket(stream));
      track(stream);
    },
    async listen() {
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      return (server.address() as AddressInfo).port;
    },
    async close() {
      const closed = server.listening ? once(server, "close") : undefined;
      server.close();
      for (const connection of connections) connection.destroy();
      await Promise.all([...answering, closed]);
    },
  };
}
