import { createHmac } from "node:crypto";

/**
 * Returns the headers with which a receiver verifies a webhook, by Standard Webhooks 1.0.0 (standardwebhooks.com): the
 * receiver computes the same HMAC, rejects timestamps that are minutes old, and IDs that it has already seen.
 *
 * @param at ms since 1970
 */
export function signedHeaders(key: Buffer, id: string, at: number, body: Buffer): Record<string, string> {
  const timestamp = String(Math.floor(at / 1000));
  const signature = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest("base64");
  return { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": `v1,${signature}` };
}
