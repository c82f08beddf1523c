import { strictJson } from "../request/strict-json.ts";
import { Refusal } from "../refusal.ts";
import type { BodyKind } from "./call.ts";

/** Maximum bytes of a JSON body */
const MAX_JSON_BODY = 1024 * 1024;
/** Maximum bytes of a body that counts as missing: `{}`, `null`, white space */
const MAX_EMPTY_BODY = 64;

/** Returns the maximum bytes of a body that is read into memory; undefined for a stream. */
export function bodyLimit({ kind }: BodyKind): number | undefined {
  if (kind === "stream") return undefined;
  return kind === "json" ? MAX_JSON_BODY : MAX_EMPTY_BODY;
}

/**
 * Reads the body of a call that accepts JSON, or no body. Returns its value, for {@link Call.read}.
 *
 * @throws Refusal 400 `body.unexpected`, `body.type`, or as `strictJson`
 */
export function readBody(kind: BodyKind, body: Buffer, contentType: string | undefined): unknown {
  if (kind.kind === "stream") return undefined;
  if (kind.kind !== "json") {
    // Some clients send an empty object, or null, with every POST.
    if (["", "{}", "null"].includes(body.toString("latin1").trim())) return undefined;
    throw new Refusal("body.unexpected", "this call accepts no body", { statusCode: 400 });
  }
  if (contentType !== undefined && !/^application\/json(?:\s*;\s*charset=utf-8)?$/i.test(contentType)) {
    throw new Refusal("body.type", "the body must have the type application/json", { statusCode: 400 });
  }
  return strictJson(body, kind.schema, "the body");
}
