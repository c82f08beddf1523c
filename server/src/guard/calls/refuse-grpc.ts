import { createServer, type Http2ServerRequest, type Http2ServerResponse, type ServerHttp2Session } from "node:http2";
import type { Duplex } from "node:stream";

/** FAILED_PRECONDITION: what is unavailable or not implemented is tried again, or done without. */
const STATUS = "9";

/** Answers each gRPC call of a connection with a message. Owns the connection. Resolves when it is closed. */
export async function refuseGrpc(connection: Duplex, signal: AbortSignal, message: string): Promise<void> {
  const server = createServer({ maxSessionMemory: 1, settings: { enablePush: false, maxConcurrentStreams: 10 } });
  server.on("request", (request: Http2ServerRequest, response: Http2ServerResponse) => {
    response.stream.on("error", () => {}); // a client that does not wait for its answer
    request.resume();
    const headers = { "grpc-status": STATUS, "grpc-message": encodeURIComponent(message) };
    response.writeHead(200, { "content-type": "application/grpc", ...headers }).end();
  });
  const stop = (): void => void connection.destroy();
  server.on("sessionError", stop);
  server.on("session", (session: ServerHttp2Session) => session.on("error", stop));
  connection.on("error", () => {}); // it is closed then
  signal.addEventListener("abort", stop, { once: true });
  const closed = new Promise<void>((resolve) => void connection.once("close", () => resolve()));
  try {
    server.emit("connection", connection);
    if (!connection.destroyed && !signal.aborted) await closed;
  } finally {
    signal.removeEventListener("abort", stop);
    connection.destroy();
    server.close();
  }
}
