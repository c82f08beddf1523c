import { Failure } from "docker-over-ssh/builds";
import { readOperatorFile } from "../access/operator-file.ts";

const OPTION = "--webhook-secret-file";
const PREFIX = "whsec_";
/** Minimum bytes of a key, by Standard Webhooks */
const MIN_KEY = 24;
const MAX_KEY = 64;

/**
 * Reads the key that signs webhooks: `whsec_` and base64, the format of Standard Webhooks, or any other text on one
 * line, which is the key itself. Rejects with a Failure `usage`, which does not quote it.
 */
export async function readWebhookSecret(path: string): Promise<Buffer> {
  const { text } = await readOperatorFile(path, OPTION);
  return parseWebhookSecret(text.trim());
}

export function parseWebhookSecret(text: string): Buffer {
  if (!text.startsWith(PREFIX)) {
    if (text.length >= MIN_KEY && !/[\r\n]/.test(text)) return Buffer.from(text, "utf8");
    throw noSecret(`whsec_ and base64, or one line of at least ${MIN_KEY} characters`);
  }
  const encoded = text.slice(PREFIX.length);
  const key = Buffer.from(encoded, "base64");
  const isBase64 = key.toString("base64").replace(/=+$/, "") === encoded.replace(/=+$/, "");
  if (isBase64 && key.length >= MIN_KEY && key.length <= MAX_KEY) return key;
  throw noSecret(`${MIN_KEY} to ${MAX_KEY} bytes in base64 after whsec_`);
}

function noSecret(expected: string): Failure {
  return new Failure("usage", `the file of ${OPTION} has no key for webhooks`, {
    expected,
    hint: 'Create one with: echo "whsec_$(openssl rand -base64 32)"',
  });
}
