import { createServer, type ServerHttp2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import type { ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";

/** Bytes of a request's message, to bound memory. An engine sends small ones. */
const MAX_MESSAGE = 4 * 1024 * 1024;

/** A call that reads and writes its messages on the HTTP/2 stream, without the gRPC library. Resolves to the status of the call. */
export type RawCall = (call: {
  stream: ServerHttp2Stream;
  headers: readonly (readonly [name: string, value: string])[];
}) => Promise<{ status: number; message?: string }>;

export interface GrpcServerOptions {
  routes: (router: ConnectRouter) => void;
  /** The raw calls by path, e.g. `/moby.filesync.v1.FileSync/DiffCopy` */
  raw?: Readonly<Record<string, RawCall>>;
}

/** Serves gRPC on one connection, whose other side is the client. Owns the stream. Disposing closes it and ends every open call. */
export function serveGrpc(connection: Duplex, { routes, raw = {} }: GrpcServerOptions): Disposable {
  const server = createServer({ settings: { enablePush: false } });
  const answer = connectNodeAdapter({ routes, grpc: true, grpcWeb: false, connect: false, readMaxBytes: MAX_MESSAGE });
  server.on("request", (request, response) => {
    const { stream } = request;
    stream.on("error", () => {}); // the client has left; the next write fails
    const call = Object.hasOwn(raw, request.url) ? raw[request.url] : undefined;
    if (call === undefined) return answer(request, response);
    response.writeHead(200, { "content-type": "application/grpc" });
    void call({ stream, headers: pairs(request.rawHeaders) }).then(({ status, message = "" }) => {
      if (stream.destroyed) return;
      response.addTrailers({ "grpc-status": String(status), "grpc-message": encodeURIComponent(message) });
      response.end();
    });
  });
  server.on("session", (session) => session.on("error", () => {})); // the connection reports it
  server.emit("connection", connection);
  return {
    [Symbol.dispose]() {
      connection.destroy();
      server.close();
    },
  };
}

/** Returns the headers as pairs: Node joins the values of a repeated header with commas, which a value may also contain. */
function pairs(raw: readonly string[]): [string, string][] {
  return Array.from({ length: raw.length / 2 }, (_, at) => [raw[2 * at] ?? "", raw[2 * at + 1] ?? ""]);
}
