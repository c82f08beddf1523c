import { Refusal } from "../refusal.ts";
import { readHeaders, type StrictHeaders } from "../request/headers.ts";
import { parseQuery } from "../request/query.ts";
import type { StrictRequest } from "../request/strict-request.ts";
import { parseTarget } from "../request/target.ts";
import type { Call } from "./call.ts";
import { refusedCall } from "./refused-calls.ts";
import { findCall } from "./table.ts";

/** A request in the form in which it arrives. */
export interface RawRequest {
  method: string;
  target: string;
  /** Alternating names and values */
  rawHeaders: readonly string[];
}

/** A request without its body. */
export interface RequestHead {
  call: Call;
  request: StrictRequest;
}

/**
 * Reads all of a request except its body. Does not check whether the engine supports the version of the API.
 *
 * @throws Refusal 403 for a call that is not in the table, 400 for a malformed request
 */
export function readHead(raw: RawRequest): RequestHead {
  const { apiVersion, path, query } = parseTarget(raw.target);
  const headers = readHeaders(raw.rawHeaders);
  const found = findCall(raw.method, path);
  if (found === undefined) throw refusedCall(shownMethod(raw.method), path);
  const { call, parameters } = found;
  checkUpgrade(call, headers);
  const method = call.method;
  return { call, request: { method, apiVersion, path, parameters, query: parseQuery(query, call.query), headers } };
}

/** The bytes after an upgrade request belong to the other protocol, so a body before them would be ambiguous. */
function checkUpgrade({ body, path }: Call, headers: StrictHeaders): void {
  const upgrade = headers.get("upgrade");
  if (body.kind !== "upgrade") {
    if (upgrade === undefined) return;
    throw new Refusal("upgrade.refused", "this call does not switch to another protocol", { statusCode: 400 });
  }
  if (upgrade?.toLowerCase() !== "h2c") {
    throw new Refusal("upgrade.missing", `${path} needs the headers Connection: Upgrade and Upgrade: h2c`, {
      statusCode: 400,
    });
  }
  if ((headers.get("content-length") ?? "0") !== "0" || headers.get("transfer-encoding") !== undefined) {
    throw new Refusal("upgrade.body", "a request that switches to another protocol must not have a body", {
      statusCode: 400,
    });
  }
}

function shownMethod(method: string): string {
  return /^[A-Z]{1,16}$/.test(method) ? method : "this method";
}
