import { createHash, randomBytes } from "node:crypto";

/** Says to people, and to programs that look for secrets in files, what it is. */
const PREFIX = "dos_";

/**
 * Makes a token: 256 bits that nobody can guess. Therefore a plain SHA-256 of it is enough to keep: salts, and functions that are slow on purpose
 * (bcrypt, argon2), protect what people choose from being found by trying what people choose. Here there is nothing to try; and each request is
 * checked, where a slow function would be a way to keep the server busy.
 */
export function newToken(): string {
  return `${PREFIX}${randomBytes(32).toString("base64url")}`;
}

export function hashOf(token: string): Buffer {
  return createHash("sha256").update(token, "utf8").digest();
}

/** Writes a hash as the token file has it. */
export function formatHash(hash: Buffer): string {
  return `sha256:${hash.toString("hex")}`;
}
