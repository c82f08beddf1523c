import { randomBytes } from "node:crypto";
import type { ServerResponse } from "node:http";
import { DistributionError } from "../http/distribution-error.ts";

/** The maximum bytes of a probe. */
const MAX_PROBE = 256 * 1024;

/**
 * Answers GET of random bytes, which ssh cannot compress. The time that they take shows how fast the link is. An extension of the
 * distribution spec.
 */
export function sendProbe(response: ServerResponse, query: URLSearchParams): void {
  const count = Number(query.get("bytes"));
  if (!Number.isInteger(count) || count < 1 || count > MAX_PROBE)
    throw new DistributionError(400, "SIZE_INVALID", `a probe has 1 to ${MAX_PROBE} bytes`);
  response.writeHead(200, { "content-type": "application/octet-stream", "content-length": count });
  response.end(randomBytes(count));
}
