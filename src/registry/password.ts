import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { Credentials } from "../engine/credentials.ts";

/** Creates a password for one run: 192 random bits, in characters that need no quoting. */
export function newCredentials(): Credentials {
  return { username: "docker-over-ssh", password: randomBytes(24).toString("base64url") };
}

/** Returns the value of an Authorization header (RFC 7617). */
export function basicAuth({ username, password }: Credentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

/** Returns whether a request's Authorization header is correct. Takes the same time whatever part of it is correct. */
export function isAuthorized(header: string | undefined, credentials: Credentials): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(header ?? ""), digest(basicAuth(credentials)));
}
