import type { Duplex, Readable, Writable } from "node:stream";
import type { RawRequest } from "../calls/read-request.ts";
import { Refusal, type Rule } from "../refusal.ts";

export const CLIENT_GONE: Rule = "client.gone";

/** Why a call ends whose client has disconnected. Only the line of audit shows it; 499 is nginx's status for it. */
export function clientGone(): Refusal {
  return new Refusal(CLIENT_GONE, "the client disconnected before the end of the answer", { statusCode: 499 });
}

/** A request and the way to answer it, of HTTP/1.1 or HTTP/2. */
export interface Exchange extends RawRequest {
  /** Its reader must not destroy it: that would close an HTTP/1.1 connection before the answer. */
  readonly body: Readable;
  /** Where the answer goes */
  readonly response: Response;
  /** Aborted when the client goes before the answer is complete; its reason is a Refusal 499 `client.gone`. */
  readonly gone: AbortSignal;
  /** Asks for a body that the client holds back until then (`Expect: 100-continue`). */
  askForBody(): void;
  /** Takes the connection over, for a request that switches to another protocol; undefined: this request cannot switch. */
  readonly takeOver?: ((protocol: string) => Duplex) | undefined;
  /** Bytes of the connection that was taken over, from the tenant and to it */
  readonly switchedBytes?: (() => { received: number; sent: number }) | undefined;
}

/** What the responses of `node:http` and `node:http2` have in common */
export interface Response extends Writable {
  readonly headersSent: boolean;
  writeHead(status: number, headers: Readonly<Record<string, string>>): unknown;
}
