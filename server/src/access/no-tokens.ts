import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import type { ListenAddress } from "../settings.ts";
import { SCOPES, type Access, type Client } from "./client.ts";
import { ANONYMOUS } from "./token-file.ts";

const ANYBODY: Client = { name: ANONYMOUS, scopes: new Set(SCOPES), limits: {} };

/** Lets everybody who can reach the server do everything. Used only where {@link mayGoWithoutTokens} allows it. */
export class NoTokens implements Access {
  readonly needsToken = false;

  client(): Client {
    return ANYBODY;
  }
}

/** Returns whether only users of this machine can reach an address: a Unix socket, whose mode decides, or loopback. */
export function mayGoWithoutTokens(listen: ListenAddress): boolean {
  if (listen.kind === "unix" || listen.host === "localhost") return true;
  // isIP excludes a name that looks like an address. process converts a mapped IPv4 address to that address.
  return isIP(listen.host) !== 0 && ipaddr.process(listen.host).range() === "loopback";
}
