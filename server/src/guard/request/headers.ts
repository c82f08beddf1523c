import { badRequest } from "../refusal.ts";

/** Checked headers, by names in lower case. Headers that a call does not read have no effect. */
export interface StrictHeaders {
  get(name: string): string | undefined;
  /** Returns all values in order, for a header that may be repeated */
  all(name: string): readonly string[];
}

/** Headers that two parsers could interpret differently if they occurred twice */
const ONCE: ReadonlySet<string> = new Set([
  "host",
  "content-length",
  "content-type",
  "content-encoding",
  "transfer-encoding",
  "upgrade",
  "expect",
  "authorization",
  "x-registry-auth",
  "x-registry-config",
  "x-docker-expose-session-uuid",
  "x-docker-expose-session-name",
  "x-docker-expose-session-sharedkey",
]);
/** RFC 9110, a token */
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Printable ASCII, spaces and tabs */
const VALUE = /^[\t\x20-\x7e]*$/;

/**
 * Checks the raw headers.
 *
 * @param raw alternating names and values, like Node's `rawHeaders`
 * @throws Refusal 400 `header.invalid`, `header.duplicate`, `header.framing`
 */
export function readHeaders(raw: readonly string[]): StrictHeaders {
  const found = new Map<string, string[]>();
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = (raw[index] ?? "").toLowerCase();
    const value = raw[index + 1] ?? "";
    if (!NAME.test(name)) throw badRequest("header.invalid", "the request has a header with an invalid name");
    if (!VALUE.test(value)) {
      throw badRequest("header.invalid", `the header ${name} has invalid characters`);
    }
    const values = found.get(name) ?? [];
    if (values.length > 0 && ONCE.has(name)) throw badRequest("header.duplicate", `the header ${name} occurs twice`);
    values.push(value);
    found.set(name, values);
  }
  const headers: StrictHeaders = { get: (name) => found.get(name)?.[0], all: (name) => found.get(name) ?? [] };
  checkFraming(headers);
  return headers;
}

/** Parsers that disagree about the end of a body see different requests (request smuggling). */
function checkFraming(headers: StrictHeaders): void {
  const length = headers.get("content-length");
  const encoding = headers.get("transfer-encoding");
  if (length !== undefined && encoding !== undefined) {
    throw badRequest("header.framing", "the request has both Transfer-Encoding and Content-Length");
  }
  if (length !== undefined && !/^\d{1,15}$/.test(length)) {
    throw badRequest("header.framing", "Content-Length must be a number");
  }
  if (encoding !== undefined && encoding !== "chunked") {
    throw badRequest("header.framing", "Transfer-Encoding can only be chunked");
  }
}
