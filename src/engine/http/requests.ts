import type { IncomingHttpHeaders } from "node:http";
import type { Readable } from "node:stream";

/** An HTTP request in either version of HTTP. */
export interface HttpRequest {
  method: string;
  /** With the query. */
  path: string;
  /** A secret value is an object whose `toString` returns it, so that it is not printed. */
  headers: Record<string, string | number>;
  /** Sent unchanged; a stream is read to its end. */
  body?: Buffer | Readable | undefined;
  /** Aborting it ends the request and the answer. */
  signal: AbortSignal;
  /** Called when the request gets a connection, which may first serve others. */
  onConnected?: () => void;
}

export interface HttpAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  /** The caller reads it to its end, or destroys it. */
  body: Readable;
  /** Whether a body that has ended is complete. A truncated one may end without an error. */
  isWhole: () => boolean;
  /** Returns the connection's error, if known; the body's own error only says that it was truncated. */
  brokenBy: () => Error | undefined;
}

/** Sends a request. Rejects with the connection's error. */
export type Send = (request: HttpRequest) => Promise<HttpAnswer>;

/** The Host header. The address of a connection comes from elsewhere. */
export const HOST = "docker";
