import { InvalidValue } from "docker-over-ssh/builds";

/** A host that may have a non-public address (--allow-host). */
export interface AllowedHost {
  /** In the form of URLs: lower case, IPv6 in brackets */
  hostname: string;
  /** Default: all ports */
  port?: number | undefined;
}

const EXPECTED = "Expected HOST or HOST:PORT, e.g. git.example.com or [fd00::7]:8080.";

/** Parses --allow-host. Throws an InvalidValue. */
export function parseAllowedHost(text: string): AllowedHost {
  const [, host = "", digits] = /^(\[[0-9a-fA-F:.]+\]|[^:[\]\s/@?#\\]+)(?::(\d{1,5}))?$/.exec(text) ?? [];
  const port = digits === undefined ? undefined : Number(digits);
  if (!URL.canParse(`http://${host}/`) || (port !== undefined && (port < 1 || port > 65_535))) {
    throw new InvalidValue(EXPECTED);
  }
  return { hostname: hostnameOf(new URL(`http://${host}/`)), ...(port !== undefined && { port }) };
}

/** Returns the text of --allow-host unchanged. Throws an InvalidValue if it is invalid. */
export function checkAllowedHost(text: string): string {
  parseAllowedHost(text);
  return text;
}

export function isAllowedHost(url: URL, allowed: readonly AllowedHost[]): boolean {
  const hostname = hostnameOf(url);
  return allowed.some((host) => host.hostname === hostname && (host.port === undefined || host.port === portOf(url)));
}

function portOf({ port, protocol }: URL): number {
  return port === "" ? { "http:": 80, "https:": 443 }[protocol as "http:" | "https:"] : Number(port);
}

/** A trailing dot does not change the name. */
function hostnameOf({ hostname }: URL): string {
  return hostname.replace(/\.$/, "");
}
