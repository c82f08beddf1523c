import { Refusal } from "../refusal.ts";
import type { Policy } from "./policy.ts";

/**
 * Checks an address that the engine fetches from the host's network: of `ADD`, or of a context. It must begin with an
 * allowed prefix that ends with a path segment, and must be unambiguous: no user, no `..`, no escaped slash or dot.
 * Redirects of the server are not checked.
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
        : `an address must begin with ${sources.join(", ")}`
    }`,
  );
}

function isPlain(address: string): boolean {
  if (!/^https?:\/\/[\x21-\x7e]+$/.test(address) || /[\\'"`<>{}|^]|%(?:2e|2f|5c|00)/i.test(address)) return false;
  if (!URL.canParse(address)) return false;
  const { href } = new URL(address);
  // Other parsers may not normalize these forms: `..`, a host in upper case, a default port.
  return href === address || href === `${address}/`;
}

function beginsWith(address: string, prefix: string): boolean {
  if (!address.startsWith(prefix)) return false;
  // `https://example.com` allows neither `https://example.com.evil.example/` nor `https://example.com@evil.example/`.
  return prefix.endsWith("/") || /^(?:[/?#]|$)/.test(address.slice(prefix.length));
}
