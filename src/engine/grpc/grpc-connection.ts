import type { Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import type { Http2Connection } from "../http/http2.ts";

/** The maximum size of a message in bytes. gRPC servers in Go send no larger messages. */
const MAX_MESSAGE = 16 * 1024 * 1024;

/** A connection to an engine's gRPC services. Disposing closes it and ends every open call. */
export interface GrpcConnection extends Disposable {
  readonly transport: Transport;
  /** Whether the connection has broken, or the engine has closed it. */
  readonly isClosed: boolean;
}

/** Uses an open connection for gRPC. `isShared`: the connection also carries other requests, and remains open when this is disposed. */
export function grpcOver(connection: Http2Connection, { isShared }: { isShared: boolean }): GrpcConnection {
  const transport = createGrpcTransport({
    baseUrl: connection.authority,
    readMaxBytes: MAX_MESSAGE,
    sessionManager: {
      authority: connection.authority,
      request: async (method, path, headers, options) => connection.open(method, path, headers, options),
      notifyResponseByteRead() {},
    },
  });
  return {
    transport,
    get isClosed() {
      return connection.isClosed;
    },
    [Symbol.dispose]() {
      if (!isShared) connection[Symbol.dispose]();
    },
  };
}
