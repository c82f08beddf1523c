import { createHash, randomBytes } from "node:crypto";

/** Identifies a token of this service to people, and to programs that search files for secrets. */
const PREFIX = "dos_";

/**
 * Creates a token of 256 random bits. Storing its plain SHA-256 is safe: salts and slow functions (bcrypt, argon2)
 * protect passwords that people choose from guessing, and 256 random bits cannot be guessed. A slow function would also
 * let clients keep the server busy, because each request is verified.
 */
export function newToken(): string {
  return `${PREFIX}${randomBytes(32).toString("base64url")}`;
}

export function hashOf(token: string): Buffer {
  return createHash("sha256").update(token, "utf8").digest();
}

/** Formats a hash for the token file. */
export function formatHash(hash: Buffer): string {
  return `sha256:${hash.toString("hex")}`;
}
