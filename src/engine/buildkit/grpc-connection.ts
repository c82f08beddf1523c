import type { Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import type { Http2Connection } from "../http/http2.ts";

/** Bytes of a message: gRPC's servers in Go send no larger ones. */
const MAX_MESSAGE = 16 * 1024 * 1024;

/** A connection on which an engine's gRPC services can be asked. Disposing ends it, and with it every call under way. */
export interface GrpcConnection extends Disposable {
  readonly transport: Transport;
  /** It has broken, or the engine has ended it. */
  readonly isClosed: boolean;
}

/** gRPC on a connection that is there. `isShared`: it carries other requests, too, and stays when this is disposed of. */
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
