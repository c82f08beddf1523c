import { Refusal, type Rule } from "../refusal.ts";
import { readBody } from "./read-body.ts";
import { readHead, type RawRequest } from "./read-request.ts";

/** The decision about a request, as far as it does not depend on the engine and the tenant's images. */
export interface Decision {
  decision: "allowed" | "refused";
  rule: Rule;
  /** The effect of the call, or the reason of the refusal */
  reason: string;
  statusCode: number;
  /** The images of the call */
  about: readonly string[];
}

/**
 * Decides about a request without performing it, for `explain` and the dry run.
 *
 * @param raw if its `body` is undefined, a call with a JSON body is judged without it
 */
export function judge(raw: RawRequest & { body?: Buffer | undefined }): Decision {
  try {
    const { call, request } = readHead(raw);
    if (raw.body === undefined && call.body.kind === "json") {
      return { decision: "allowed", rule: call.rule, reason: call.does, statusCode: 200, about: [] };
    }
    const json = readBody(call.body, raw.body ?? Buffer.alloc(0), request.headers.get("content-type"));
    const { about = [] } = call.read(request, json);
    return { decision: "allowed", rule: call.rule, reason: call.does, statusCode: 200, about };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const { rule, message, statusCode } = error;
    return { decision: "refused", rule, reason: message, statusCode, about: [] };
  }
}
