import type { IncomingHttpHeaders } from "node:http";
import type { Readable } from "node:stream";

/** An HTTP request, whichever version of HTTP carries it. */
export interface HttpRequest {
  method: string;
  /** With the query. */
  path: string;
  /** A value that must not be printed is an object that turns into its text. */
  headers: Record<string, string | number>;
  /** Sent as it is; a stream is read to its end. */
  body?: Buffer | Readable | undefined;
  /** Aborting it ends the request, and the answer. */
  signal: AbortSignal;
  /** Hears when it is its turn on a connection: others may be before it. */
  onConnected?: () => void;
}

export interface HttpAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  /** The caller reads it to its end, or destroys it. */
  body: Readable;
  /** Of a body that has ended: nothing of it is missing. One that the connection has cut off may end without an error. */
  isWhole: () => boolean;
  /** Why the connection broke, where that is known; the body only knows that it was cut off. */
  brokenBy: () => Error | undefined;
}

/** A way to send requests. Rejects with the connection's own error. */
export type Send = (request: HttpRequest) => Promise<HttpAnswer>;

/** What the Host header says; whoever connects knows where to. */
export const HOST = "docker";
