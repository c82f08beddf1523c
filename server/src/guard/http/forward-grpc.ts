import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import { noBuildkit } from "../calls/buildkit-calls.ts";
import { Refusal } from "../refusal.ts";
import { readHeaders } from "../request/headers.ts";
import { clientGone } from "./exchange.ts";
import { grpcSentence } from "./grpc-message.ts";
import { checkOpen, type FrontContext } from "./front-context.ts";
import { withoutPseudo, type ForwardGrpc } from "./http2.ts";
import { refusalOf } from "./refusal-of.ts";

/** The path of a gRPC method */
const METHOD = /^\/[A-Za-z0-9._]{1,200}\/[A-Za-z0-9_]{1,100}$/;

/**
 * gRPC status codes by HTTP status. A missing BuildKit is not UNIMPLEMENTED: buildx would retry, or continue without
 * the call.
 */
const STATUS: Readonly<Record<number, number>> = { 400: 3, 404: 9, 429: 8, 403: 7, 502: 14, 503: 14 };
const INTERNAL = 13;

/**
 * Forwards the gRPC calls of an HTTP/2 connection to BuildKit, which writes their audit lines. Calls that do not reach
 * it are written here.
 */
export function grpcForwarder(context: FrontContext): ForwardGrpc {
  return (request, response, gone) => {
    const type = request.headers["content-type"] ?? "";
    if (request.method !== "POST" || !/^application\/grpc(?:\+proto)?$/.test(type)) return false;
    if (request.stream.destroyed) return true; // nobody waits for the answer, and no close event follows
    const started = performance.now();
    context.open.count++;
    request.stream.once("close", () => context.open.count--);
    void forward(context, request, response, gone).catch((error: unknown) => {
      const tenant = context.tenant().id;
      const call = METHOD.test(request.url) ? request.url : "gRPC";
      const refusal = refusalOf(error, { tenant, call, signal: gone, onProblem: context.onProblem });
      refuse(response, refusal);
      context.audit.write({
        time: context.now().toISOString(),
        tenant,
        call,
        decision: refusal.statusCode >= 499 ? "failed" : "refused",
        rule: refusal.rule,
        reason: refusal.message,
        status: refusal.statusCode,
        received: 0,
        sent: 0,
        ms: Math.round(performance.now() - started),
      });
    });
    return true;
  };
}

async function forward(
  context: FrontContext,
  request: Http2ServerRequest,
  response: Http2ServerResponse,
  gone: AbortSignal,
): Promise<void> {
  const { buildkit } = context.backend;
  checkOpen(context);
  await context.throttle.take(gone);
  readHeaders(withoutPseudo(request.rawHeaders));
  if (!METHOD.test(request.url)) {
    throw new Refusal("grpc.method", "the path is not that of a gRPC call (/package.Service/Method)", {
      statusCode: 400,
    });
  }
  // The library builds a URL from the two.
  if (!URL.canParse(request.url, `http://${request.authority}`)) {
    throw new Refusal("grpc.authority", "the :authority of this call is not the name of a host", { statusCode: 400 });
  }
  if (buildkit === undefined) throw noBuildkit();
  const controller = new AbortController();
  const end = (): void => controller.abort(gone.aborted ? clientGone() : context.closing.reason);
  gone.addEventListener("abort", end);
  context.closing.addEventListener("abort", end);
  response.once("close", () => context.closing.removeEventListener("abort", end));
  const caller = { tenant: context.tenant(), apiVersion: undefined, signal: controller.signal, note: {} };
  buildkit.handle(caller, request, response);
}

/** Sends an answer that consists of trailers only */
function refuse(response: Http2ServerResponse, { statusCode, message }: Refusal): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(200, {
    "content-type": "application/grpc",
    "grpc-status": String(STATUS[statusCode] ?? INTERNAL),
    "grpc-message": encodeURIComponent(grpcSentence(message)),
  });
  response.end();
}
