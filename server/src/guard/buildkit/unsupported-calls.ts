import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import { Code } from "@connectrpc/connect";
import { grpcSentence } from "../http/grpc-message.ts";
import { TRACES, unknownCall } from "./check-message.ts";
import type { AuditLog } from "../audit/entry.ts";
import type { Caller } from "../caller.ts";

/** If this call is unimplemented, clients continue without a history of builds. */
const HISTORY = "/moby.buildkit.v1.Control/ListenBuildHistory";
/** The code of success, for which the library has no name */
const OK = 0;
/** An empty message */
const EMPTY = Buffer.alloc(5);

/** Answers a call that no service of the guard supports. */
export function answerUnsupported(
  audit: AuditLog,
  { tenant, note }: Caller,
  request: Http2ServerRequest,
  response: Http2ServerResponse,
): void {
  request.resume();
  const path = request.url;
  // Traces are for the operator of the engine, who has not requested those of a tenant.
  if (path === TRACES) {
    answer(response, EMPTY, OK, "");
    return;
  }
  const { rule, message } = unknownCall(path);
  note.rule = rule;
  audit.write({
    time: new Date().toISOString(),
    tenant: tenant.id,
    call: path.slice(0, 120),
    decision: "refused",
    rule,
    reason: message,
    received: 0,
    sent: 0,
    ms: 0,
  });
  answer(response, undefined, path === HISTORY ? Code.Unimplemented : Code.PermissionDenied, message);
}

function answer(response: Http2ServerResponse, body: Buffer | undefined, code: number, message: string): void {
  const status = { "grpc-status": String(code), "grpc-message": encodeURIComponent(grpcSentence(message)) };
  if (response.headersSent) return;
  response.writeHead(200, { "content-type": "application/grpc" });
  response.addTrailers(status);
  if (body === undefined) response.end();
  else response.end(body);
}
