import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { Credentials } from "../engine/engine-images.ts";

/** A password for one run: 192 random bits, in letters that need no quoting anywhere. */
export function newCredentials(): Credentials {
  return { username: "docker-over-ssh", password: randomBytes(24).toString("base64url") };
}

/** The value of an Authorization header (RFC 7617). */
export function basicAuth({ username, password }: Credentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

/** Whether a request's Authorization header is the right one, in a time that does not tell how much of it was. */
export function isAuthorized(header: string | undefined, credentials: Credentials): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(header ?? ""), digest(basicAuth(credentials)));
}
