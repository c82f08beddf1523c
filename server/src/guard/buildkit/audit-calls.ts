import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import { toBinary, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { Code, createContextKey, type ConnectError, type Interceptor } from "@connectrpc/connect";
import { CLIENT_GONE } from "../http/exchange.ts";
import { TRACES } from "./check-message.ts";
import { grpcError } from "./grpc-errors.ts";
import { Refusal } from "../refusal.ts";
import { callOf } from "./tenant-call.ts";
import type { AuditEntry, AuditLog } from "../audit/entry.ts";
import type { Caller } from "../caller.ts";

/** The names that a call is about (`about`), for its audit line. */
export const ABOUT = createContextKey<readonly string[] | undefined>(undefined);

/** Bytes before a message: a flag for compression, and the length */
const PREFIX_LENGTH = 5;

/** Writes an audit line at the end of each call, and puts the tenant's names into its errors. */
export function auditing(audit: AuditLog): Interceptor {
  return (next) => async (request) => {
    const { caller } = callOf(request.contextValues);
    const { input, output, name, parent } = request.method;
    const started = Date.now();
    const bytes = { received: 0, sent: 0 };
    const write = (end: Pick<AuditEntry, "decision" | "rule" | "reason" | "status">): void => {
      const about = request.contextValues.get(ABOUT);
      audit.write({
        time: new Date(started).toISOString(),
        tenant: caller.tenant.id,
        call: `/${parent.typeName}/${name}`,
        ...end,
        ...(about !== undefined && { about }),
        ...bytes,
        ms: Date.now() - started,
      });
    };
    const rule = `grpc.${name.toLowerCase()}`;
    caller.note.rule = rule; // its message is readable, so writeUnread does nothing
    const failed = (error: unknown): ConnectError => {
      const answer = grpcError(caller.tenant.id, error);
      write({
        decision: error instanceof Refusal && error.statusCode < 499 ? "refused" : "failed",
        rule: error instanceof Refusal ? error.rule : rule,
        reason: answer.rawMessage,
        status: answer.code,
      });
      return answer;
    };
    const succeeded = (): void => write({ decision: "allowed", rule, status: 0 });
    const receive = (size: number): void => void (bytes.received += size);
    const send = (size: number): void => void (bytes.sent += size);
    try {
      if (!request.stream) receive(sizeOf(input, request.message));
      const response = await next(
        request.stream ? { ...request, message: counted(request.message, input, receive) } : request,
      );
      if (response.stream) {
        return { ...response, message: watched(counted(response.message, output, send), succeeded, failed) };
      }
      send(sizeOf(output, response.message));
      succeeded();
      return response;
    } catch (error) {
      throw failed(error);
    }
  };
}

/** Writes an audit line for a call that ends without a readable message. Traces are not audited. */
export function writeUnread(
  audit: AuditLog,
  { tenant, note }: Caller,
  request: Http2ServerRequest,
  response: Http2ServerResponse,
): void {
  if (request.url === TRACES) return;
  const started = Date.now();
  response.stream.once("close", () => {
    if (note.rule !== undefined) return;
    const { "grpc-status": status, "grpc-message": message } = response.stream.sentTrailers ?? {};
    const end: Pick<AuditEntry, "decision" | "rule" | "reason" | "status"> =
      status === undefined
        ? { decision: "failed", rule: CLIENT_GONE, status: Code.Canceled }
        : {
            decision: "refused",
            rule: "grpc.message",
            reason: decodeURIComponent(String(message)),
            status: Number(status),
          };
    audit.write({
      time: new Date(started).toISOString(),
      tenant: tenant.id,
      call: request.url,
      ...end,
      received: 0,
      sent: 0,
      ms: Date.now() - started,
    });
  });
}

function sizeOf<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): number {
  return PREFIX_LENGTH + toBinary(schema, message).length;
}

async function* counted<Desc extends DescMessage>(
  messages: AsyncIterable<MessageShape<Desc>>,
  schema: Desc,
  count: (size: number) => void,
): AsyncGenerator<MessageShape<Desc>> {
  for await (const message of messages) {
    count(sizeOf(schema, message));
    yield message;
  }
}

async function* watched<T>(
  messages: AsyncIterable<T>,
  succeeded: () => void,
  failed: (error: unknown) => ConnectError,
): AsyncGenerator<T> {
  let isFailed = false;
  try {
    yield* messages;
  } catch (error) {
    isFailed = true;
    throw failed(error);
  } finally {
    // Runs also if the client disconnects, which is how a session ends.
    if (!isFailed) succeeded();
  }
}
