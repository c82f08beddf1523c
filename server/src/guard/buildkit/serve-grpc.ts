import { createServer, type Http2ServerRequest, type Http2ServerResponse, type ServerHttp2Session } from "node:http2";
import type { Duplex } from "node:stream";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { auditing } from "./audit-calls.ts";
import { controlService } from "./control-service.ts";
import { engineOnDemand } from "./tenant-connection.ts";
import { gatewayService } from "./gateway-service.ts";
import { otherCall } from "./other-calls.ts";
import { Control } from "./gen/control_pb.ts";
import { LLBBridge } from "./gen/gateway_pb.ts";
import type { BuildkitParts } from "./parts.ts";
import type { Builds } from "./builds.ts";
import type { Caller } from "../caller.ts";

/** Bytes of a message of a tenant. gRPC servers in Go take no larger ones by default. */
const MAX_MESSAGE = 4 * 1024 * 1024;
/** Calls of a connection at the same time. A build has about five. */
const MAX_CALLS = 100;
/** Bytes of the headers of a call */
const MAX_HEADERS = 32 * 1024;

export type GrpcHandler = (request: Http2ServerRequest, response: Http2ServerResponse) => void;

/** Answers the gRPC calls of one connection of a tenant. Disposing closes the engine's connection that belongs to it. */
export function grpcHandler(
  parts: BuildkitParts,
  builds: Builds,
  caller: Caller,
): { handle: GrpcHandler } & AsyncDisposable {
  const engine = engineOnDemand(parts, caller.signal);
  const connection = { caller, parts, builds, engine: async () => engine.get() };
  const answer = connectNodeAdapter({
    grpc: true,
    grpcWeb: false,
    connect: false,
    readMaxBytes: MAX_MESSAGE,
    writeMaxBytes: 4 * MAX_MESSAGE,
    // An answer of the engine has only what is known.
    binaryOptions: { writeUnknownFields: false },
    interceptors: [auditing(parts.audit, caller)],
    routes: (router) => {
      router.service(Control, controlService(connection));
      router.service(LLBBridge, gatewayService(connection));
    },
    fallback: (request, response) => {
      otherCall(parts.audit, caller, request as Http2ServerRequest, response as Http2ServerResponse);
    },
  });
  return {
    handle(request, response) {
      response.stream.on("error", () => {}); // the handler sees it, too
      // The library would also take JSON, which no client of BuildKit sends.
      if (/^application\/grpc(?:\+proto)?$/.test(request.headers["content-type"] ?? "")) answer(request, response);
      else {
        response.writeHead(415).end();
        request.resume();
      }
    },
    [Symbol.asyncDispose]: async () => engine[Symbol.asyncDispose](),
  };
}

/** Answers gRPC on a connection that speaks HTTP/2 from its first byte. Owns it. Resolves when it is closed. */
export async function serveGrpc(
  parts: BuildkitParts,
  builds: Builds,
  caller: Caller,
  connection: Duplex,
): Promise<void> {
  await using handler = grpcHandler(parts, builds, caller);
  // HTTP/2 does not close a socket whose peer has gone while the socket could still be written to.
  connection.allowHalfOpen = false;
  const server = createServer({
    maxSessionMemory: 32,
    settings: { enablePush: false, maxConcurrentStreams: MAX_CALLS, maxHeaderListSize: MAX_HEADERS },
  });
  server.on("request", handler.handle);
  // grpc-go says goodbye in a way that nghttp2 takes for an error: the connection is over in any case.
  server.on("sessionError", () => void connection.destroy());
  let session: ServerHttp2Session | undefined;
  server.on("session", (opened: ServerHttp2Session) => {
    session = opened.on("error", () => connection.destroy());
  });
  // Calls that are open end with the reason. One that does not loses its connection to whoever has aborted.
  const stop = (): void => void (session === undefined ? connection.destroy() : session.close());
  caller.signal.addEventListener("abort", stop, { once: true });
  connection.on("error", () => {}); // it is closed then
  const closed = new Promise<void>((resolve) => void connection.once("close", () => resolve()));
  server.emit("connection", connection);
  try {
    if (!connection.destroyed && !caller.signal.aborted) await closed;
  } finally {
    caller.signal.removeEventListener("abort", stop);
    connection.destroy();
    server.close();
  }
}
