import { randomBytes } from "node:crypto";
import type { ServerResponse } from "node:http";
import { DistributionError } from "./distribution-error.ts";

/** Bytes of a probe at most. */
export const MAX_PROBE = 256 * 1024;

/** An extension of ours: bytes of no meaning, which an ssh that compresses cannot make fewer of. How they come tells how fast the link is. */
export function sendProbe(response: ServerResponse, query: URLSearchParams): void {
  const count = Number(query.get("bytes"));
  if (!Number.isInteger(count) || count < 1 || count > MAX_PROBE)
    throw new DistributionError(400, "SIZE_INVALID", `a probe has 1 to ${MAX_PROBE} bytes`);
  response.writeHead(200, { "content-type": "application/octet-stream", "content-length": count });
  response.end(randomBytes(count));
}
