import type { IncomingHttpHeaders } from "node:http";
import type { Readable } from "node:stream";

/** An HTTP request, for HTTP/1.1 or HTTP/2. */
export interface HttpRequest {
  method: string;
  /** The path, including the query. */
  path: string;
  /** A secret value is an object whose `toString` returns it: logging the request does not print it. */
  headers: Record<string, string | number>;
  /** Sent unchanged; a stream is read to its end. */
  body?: Buffer | Readable | undefined;
  /** Aborting it ends the request and the answer. */
  signal: AbortSignal;
  /** Called when the request gets a connection, which may serve other requests first. */
  onConnected?: () => void;
}

export interface HttpAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  /** The caller must read it to its end, or destroy it. */
  body: Readable;
  /** Returns whether a body that has ended is complete. A truncated body may end without an error. */
  isWhole: () => boolean;
  /** Returns the connection's error, if known; the body's own error only means that it was truncated. */
  brokenBy: () => Error | undefined;
}

/** Sends a request. Rejects with the connection's error. */
export type Send = (request: HttpRequest) => Promise<HttpAnswer>;

/** The value of the Host header. The connection does not depend on it. */
export const HOST = "docker";
