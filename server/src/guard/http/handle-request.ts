import { setMaxListeners } from "node:events";
import type { Duplex } from "node:stream";
import type { AuditEntry } from "../audit/entry.ts";
import type { BackendVersion } from "../backend.ts";
import { bodyLimit, readBody } from "../calls/read-body.ts";
import { readHead, type RequestHead } from "../calls/read-request.ts";
import type { CallNote } from "../caller.ts";
import { Refusal, type Rule } from "../refusal.ts";
import { checkApiVersion } from "../request/target.ts";
import type { Tenant } from "../tenant.ts";
import { CLIENT_GONE, type Exchange } from "./exchange.ts";
import { checkOpen, type FrontContext } from "./front-context.ts";
import { refusalOf } from "./refusal-of.ts";
import { CLIENT_SLOW, openReply, type OpenReply } from "./reply.ts";
import { checkLength, streamBody, wholeBody } from "./request-body.ts";

/** Maximum characters of a target in an audit line */
const MAX_SHOWN = 2048;

/** The rule of a request before it is matched against the table */
const BEFORE_MATCH = "request";

/** A request in progress. */
interface Handling {
  exchange: Exchange;
  context: FrontContext;
  tenant: Tenant;
  /** Ends the call. Its reason is a Refusal. */
  controller: AbortController;
  note: CallNote;
  reply: OpenReply;
  version: BackendVersion | undefined;
  rule: Rule;
  received: number;
  /** Whether the connection was switched to HTTP/2, whose requests have separate audit lines */
  isHttp2: boolean;
}

/** Answers one request, and writes its audit line. Never rejects. */
export async function handleRequest(exchange: Exchange, context: FrontContext): Promise<void> {
  const controller = new AbortController();
  const handling: Handling = {
    exchange,
    context,
    tenant: context.tenant(),
    controller,
    note: {},
    reply: openReply(
      exchange,
      () => handling.version,
      (reason) => controller.abort(reason),
    ),
    version: undefined,
    rule: BEFORE_MATCH,
    received: 0,
    isHttp2: false,
  };
  const unfollow = follow(controller, exchange.gone, context.closing);
  const started = performance.now();
  let refusal: Refusal | undefined;
  try {
    await perform(handling);
    // A stream of events ends without an error, whatever ends it.
    if (!exchange.response.writableEnded) controller.signal.throwIfAborted();
    handling.reply.end();
  } catch (error) {
    refusal = answerError(handling, error);
  } finally {
    unfollow();
    context.audit.write(entryOf(handling, refusal, Math.round(performance.now() - started)));
  }
}

async function perform(handling: Handling): Promise<void> {
  const { exchange, context, tenant, controller, note, reply } = handling;
  const { signal } = controller;
  checkOpen(context);
  await context.throttle.take(signal);
  const head = readHead(exchange);
  const { call, request } = head;
  handling.rule = call.rule;
  handling.version = await context.backend.version(signal);
  checkApiVersion(request.apiVersion, handling.version);
  const { json, body } = await takeBody(handling, head);
  const read = call.read(request, json);
  if (read.about !== undefined) note.about = [...read.about];
  if (body !== undefined) exchange.askForBody();
  const caller = { tenant, apiVersion: request.apiVersion, signal, note };
  const serveHttp2 = async (connection: Duplex): Promise<void> => {
    handling.isHttp2 = true;
    await context.serveHttp2(connection, signal);
  };
  await read.perform({ caller, backend: context.backend, body, reply, serveHttp2 });
}

/** Reads a small body into memory, or returns it as a stream. */
async function takeBody(
  handling: Handling,
  { call, request }: RequestHead,
): Promise<{ json: unknown; body: ReturnType<typeof streamBody> | undefined }> {
  const { exchange, context, tenant, controller } = handling;
  if (call.body.kind === "upgrade") return { json: undefined, body: undefined };
  const maxBytes = bodyLimit(call.body);
  const limit = maxBytes ?? tenant.quotas.context;
  const tooLong =
    call.body.kind === "none"
      ? new Refusal("body.unexpected", "this call accepts no body", { statusCode: 400 })
      : undefined;
  checkLength(request.headers.get("content-length"), limit, tooLong);
  const reading = {
    body: exchange.body,
    limit,
    tooLong,
    signal: controller.signal,
    onBytes: (bytes: number) => (handling.received += bytes),
  };
  if (maxBytes === undefined) return { json: undefined, body: streamBody({ ...reading, idle: context.timeouts.idle }) };
  if (request.headers.get("content-length") !== "0") exchange.askForBody();
  const body = await wholeBody(reading, context.timeouts.json);
  return { json: readBody(call.body, body, request.headers.get("content-type")), body: undefined };
}

function answerError({ exchange, context, tenant, controller, reply }: Handling, error: unknown): Refusal {
  const refusal = refusalOf(error, {
    tenant: tenant.id,
    call: shownCall(exchange),
    signal: controller.signal,
    onProblem: context.onProblem,
  });
  if (refusal.rule === CLIENT_SLOW) exchange.response.destroy();
  else if (!exchange.gone.aborted) reply.fail(refusal);
  return refusal;
}

function entryOf(handling: Handling, refusal: Refusal | undefined, ms: number): AuditEntry {
  const { exchange, context, tenant, note, reply, rule } = handling;
  const switched = (handling.isHttp2 ? undefined : exchange.switchedBytes?.()) ?? { received: 0, sent: 0 };
  // Sessions, event streams and cancelled builds end like this: it is not a failure.
  const hasLeft = refusal?.rule === CLIENT_GONE && rule !== BEFORE_MATCH;
  return {
    time: context.now().toISOString(),
    tenant: tenant.id,
    call: shownCall(exchange),
    decision: hasLeft ? "allowed" : decisionOf(refusal),
    rule: (hasLeft ? undefined : refusal?.rule) ?? note.rule ?? rule,
    ...(refusal !== undefined && { reason: refusal.message }),
    ...(note.about !== undefined && { about: note.about }),
    status: reply.status ?? refusal?.statusCode,
    received: handling.received + switched.received,
    sent: reply.sent + switched.sent,
    ms,
  };
}

function decisionOf(refusal: Refusal | undefined): AuditEntry["decision"] {
  if (refusal === undefined) return "allowed";
  return refusal.statusCode >= 499 ? "failed" : "refused";
}

/** Omits the query, which contains build arguments that may be secrets. */
function shownCall({ method, target }: Exchange): string {
  const path = target.split("?", 1)[0] ?? "";
  return `${method} ${path.slice(0, MAX_SHOWN)}`.replaceAll(/[^\x20-\x7e]/g, "?");
}

/**
 * Aborts with the reason of the first of `signals`. Returns a function that removes the listeners, because the signals
 * outlive the call.
 */
function follow(controller: AbortController, ...signals: readonly AbortSignal[]): () => void {
  const listeners = signals.map((signal) => ({ signal, listener: () => controller.abort(signal.reason) }));
  for (const { signal, listener } of listeners) {
    if (signal.aborted) listener();
    setMaxListeners(0, signal);
    signal.addEventListener("abort", listener);
  }
  return () => {
    for (const { signal, listener } of listeners) signal.removeEventListener("abort", listener);
  };
}
