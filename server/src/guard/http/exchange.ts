import type { Duplex, Readable, Writable } from "node:stream";
import type { RawRequest } from "../calls/read-request.ts";
import { Refusal, type Rule } from "../refusal.ts";

export const CLIENT_GONE: Rule = "client.gone";

/**
 * The reason of a call's end when its client has disconnected. Only the audit line shows it; 499 is nginx's status for
 * it.
 */
export function clientGone(): Refusal {
  return new Refusal(CLIENT_GONE, "the client disconnected before the end of the answer", { statusCode: 499 });
}

/** A request with its response, of HTTP/1.1 or HTTP/2. */
export interface Exchange extends RawRequest {
  /** Its reader must not destroy it: that would close an HTTP/1.1 connection before the answer. */
  readonly body: Readable;
  /** The response to which the answer is written */
  readonly response: Response;
  /** Aborted when the client disconnects before the answer is complete; its reason is a Refusal 499 `client.gone`. */
  readonly gone: AbortSignal;
  /** Requests the body if the client holds it back until then (`Expect: 100-continue`). */
  askForBody(): void;
  /**
   * Takes over the connection, for a request that switches to another protocol; undefined: this request cannot switch.
   */
  readonly takeOver?: ((protocol: string) => Duplex) | undefined;
  /** Bytes received and sent on the connection after the takeover */
  readonly switchedBytes?: (() => { received: number; sent: number }) | undefined;
}

/** The common properties of the responses of `node:http` and `node:http2` */
export interface Response extends Writable {
  readonly headersSent: boolean;
  writeHead(status: number, headers: Readonly<Record<string, string>>): unknown;
}
