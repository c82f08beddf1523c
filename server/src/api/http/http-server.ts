import { createServer, STATUS_CODES, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Socket } from "node:net";
import { problemBody, PROBLEM_TYPE, ProblemError } from "./problem.ts";

/** Certificate chain and key, PEM. */
export interface TlsFiles {
  cert: string | Buffer;
  key: string | Buffer;
}

/** Maximum bytes of the request line and all headers. */
const MAX_HEADERS = 16 * 1024;
const MAX_HEADER_COUNT = 100;
/** Far below the number of files that a process may open, because jobs also need files. */
const MAX_CONNECTIONS = 10_000;
/**
 * ms without activity after which a connection is closed. A client that does not read its response would hold it for
 * ever. Streams have a time of their own.
 */
const IDLE_TIMEOUT = 5 * 60_000;

/** Creates the server. A body may take any time as long as it makes progress: the code that reads a body limits it. */
export function createHttpServer(handler: RequestListener, tls: TlsFiles | undefined): Server {
  const options = {
    maxHeaderSize: MAX_HEADERS,
    headersTimeout: 15_000,
    requestTimeout: 0,
    keepAliveTimeout: 65_000,
    connectionsCheckingInterval: 5_000,
    requireHostHeader: true,
    insecureHTTPParser: false,
  };
  const server = tls === undefined ? createServer(options, handler) : createTlsServer({ ...options, ...tls }, handler);
  server.maxHeadersCount = MAX_HEADER_COUNT;
  server.maxConnections = MAX_CONNECTIONS;
  server.timeout = IDLE_TIMEOUT;
  return server;
}

/** ms for a client that is still sending to get its response before the connection is closed */
export const LINGER = 2000;

const BROKEN: Readonly<Record<string, readonly [status: number, detail: string]>> = {
  HPE_HEADER_OVERFLOW: [431, "The headers are larger than this server accepts."],
  ERR_HTTP_REQUEST_TIMEOUT: [408, "The request took too long."],
};

/** Answers input that is not HTTP, before a request exists, and closes the connection. */
export function refuseBrokenRequest(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, detail] = BROKEN[error.code ?? ""] ?? [400, "This is not an HTTP request that this server accepts."];
  const body = JSON.stringify(problemBody(new ProblemError(status, "malformed", detail)));
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`,
    `Content-Type: ${PROBLEM_TYPE}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    "Connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
  // The client has to close as well. Until then, the server waits for the rest of a body.
  const timer = setTimeout(() => socket.destroy(), LINGER);
  socket.once("close", () => clearTimeout(timer));
}
