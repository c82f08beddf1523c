import { Refusal } from "../refusal.ts";
import type { Policy } from "./policy.ts";

/**
 * Checks an address that the engine fetches from the host's network: of `ADD`, of a context. It must begin with an allowed prefix, up to the end of a
 * part of its path, and must say the same to every reader: no user, no `..`, no escaped slash or dot. What the server redirects to is not seen here.
 *
 * @throws Refusal `source.refused`
 */
export function checkSource(address: string, { sources }: Policy): void {
  if (isPlain(address) && sources.some((prefix) => beginsWith(address, prefix))) return;
  throw new Refusal(
    "source.refused",
    `${JSON.stringify(address)} is not an address that a build may fetch: ${
      sources.length === 0
        ? "none is allowed, so download it before the build"
        : `allowed is what begins with ${sources.join(", ")}`
    }`,
  );
}

function isPlain(address: string): boolean {
  if (!/^https?:\/\/[\x21-\x7e]+$/.test(address) || /[\\'"`<>{}|^]|%(?:2e|2f|5c|00)/i.test(address)) return false;
  if (!URL.canParse(address)) return false;
  const { href } = new URL(address);
  // What the parser changes (`..`, a host in upper case, a port that is the default) others may read in another way.
  return href === address || href === `${address}/`;
}

function beginsWith(address: string, prefix: string): boolean {
  if (!address.startsWith(prefix)) return false;
  // `https://example.com` allows no `https://example.com.evil.example/`, and no `https://example.com@evil.example/`.
  return prefix.endsWith("/") || /^(?:[/?#]|$)/.test(address.slice(prefix.length));
}
