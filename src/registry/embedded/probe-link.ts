import { randomBytes } from "node:crypto";
import type { ServerResponse } from "node:http";

/** Bytes of a probe: 50 ms at 10 Mbit/s, and a small part of what a delta sends. */
export const PROBE_BYTES = 64 * 1024;

/** An extension of ours: bytes of no meaning, which an ssh that compresses cannot make fewer of. How they come tells how fast the link is. */
export function sendProbe(response: ServerResponse): void {
  const bytes = randomBytes(PROBE_BYTES);
  response.writeHead(200, { "content-type": "application/octet-stream", "content-length": bytes.length });
  response.end(bytes);
}
