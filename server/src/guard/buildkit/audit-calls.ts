import { createContextKey, type ConnectError, type Interceptor, type StreamResponse } from "@connectrpc/connect";
import { grpcError } from "./grpc-errors.ts";
import { Refusal } from "../refusal.ts";
import type { AuditEntry, AuditLog } from "../audit/entry.ts";
import type { Caller } from "../caller.ts";

/** What a call is about, for its line. Calls of a connection run at the same time, so each has its own. */
export const ABOUT = createContextKey<readonly string[] | undefined>(undefined);

/** Writes down each call of a tenant when it is over, and puts its errors in the tenant's words. */
export function auditing(audit: AuditLog, { tenant }: Caller): Interceptor {
  return (next) => async (request) => {
    const call = `/${request.service.typeName}/${request.method.name}`;
    const started = Date.now();
    const rule = `grpc.${request.method.name.toLowerCase()}`;
    const write = (end: Pick<AuditEntry, "decision" | "rule" | "reason" | "status">): void => {
      const about = request.contextValues.get(ABOUT);
      audit.write({
        time: new Date(started).toISOString(),
        tenant: tenant.id,
        call,
        ...end,
        ...(about !== undefined && { about }),
        received: 0,
        sent: 0,
        ms: Date.now() - started,
      });
    };
    const failed = (error: unknown): ConnectError => {
      const told = grpcError(tenant.id, error);
      write({
        decision: error instanceof Refusal && error.statusCode < 500 ? "refused" : "failed",
        rule: error instanceof Refusal ? error.rule : rule,
        reason: told.rawMessage,
        status: told.code,
      });
      return told;
    };
    const succeeded = (): void => write({ decision: "allowed", rule, status: 0 });
    try {
      const response = await next(request);
      if (!response.stream) {
        succeeded();
        return response;
      }
      return { ...response, message: watched(response.message, succeeded, failed) };
    } catch (error) {
      throw failed(error);
    }
  };
}

type Answer = StreamResponse["message"];

async function* watched(
  messages: Answer,
  succeeded: () => void,
  failed: (error: unknown) => ConnectError,
): Answer extends AsyncIterable<infer T> ? AsyncGenerator<T> : never {
  try {
    yield* messages;
  } catch (error) {
    throw failed(error);
  }
  succeeded();
}
