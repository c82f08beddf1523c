import { createHash } from "node:crypto";
import type { Idempotency } from "../../store/job-store.ts";
import { ProblemError } from "../http/problem.ts";
import type { ReadOrder } from "./order.ts";

/** A string of a structured field (RFC 8941), or the same without quotes, which many clients send */
const KEY = /^(?:"([\x20-\x21\x23-\x5b\x5d-\x7e]{1,255})"|([\x21\x23-\x7e]{1,255}))$/;

/**
 * Reads the header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header). Throws ProblemError 400 for an
 * invalid key. The store gets a hash of the key and its owner: keys of different owners never collide, and no client
 * chooses the name of a file.
 */
export function readIdempotencyKey(header: string | string[] | undefined, owner: string): string | undefined {
  if (header === undefined) return undefined;
  const [, quoted, bare] = (typeof header === "string" && KEY.exec(header)) || [];
  const key = quoted ?? bare;
  if (key !== undefined)
    return createHash("sha256")
      .update(JSON.stringify([owner, key]))
      .digest("hex");
  throw new ProblemError(400, "malformed", "The Idempotency-Key is not valid.", {
    expected: "up to 255 visible characters of ASCII, best a UUID, once",
  });
}

/**
 * Returns the fingerprint of a request, which identifies its repetition: a hash of the parsed order and of the body. It
 * excludes the password, because a stored hash of it would let somebody guess the password.
 */
export function idempotency(
  key: string | undefined,
  read: ReadOrder,
  sha256: string | undefined,
): Idempotency | undefined {
  if (key === undefined) return undefined;
  const { fullName, order, source, webhookUrl, credentials } = read;
  const request = { fullName, order, source, webhookUrl, username: credentials?.username, sha256 };
  return { key, fingerprint: createHash("sha256").update(sorted(request)).digest("hex") };
}

/** Returns JSON with sorted names: a repeated request may have them in another order. */
function sorted(value: unknown): string {
  return JSON.stringify(value, (_name, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).toSorted(([one], [other]) => (one < other ? -1 : 1)))
      : inner,
  );
}
