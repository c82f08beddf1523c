import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import type { ListenAddress } from "../settings.ts";
import { SCOPES, type Access, type Client } from "./client.ts";
import { ANONYMOUS } from "./token-file.ts";

const ANYBODY: Client = { name: ANONYMOUS, scopes: new Set(SCOPES), limits: {} };

/** Lets anybody do everything who can reach the server: only where {@link mayGoWithoutTokens} allows it. */
export class NoTokens implements Access {
  readonly needsToken = false;

  client(): Client {
    return ANYBODY;
  }
}

/** Whether only users of this machine reach an address: a Unix socket, whose mode decides, or loopback. */
export function mayGoWithoutTokens(listen: ListenAddress): boolean {
  if (listen.kind === "unix" || listen.host === "localhost") return true;
  // isIP: a name that looks like an address is none. process: a mapped IPv4 address is that address.
  return isIP(listen.host) !== 0 && ipaddr.process(listen.host).range() === "loopback";
}
