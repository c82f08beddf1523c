import { lookup } from "node:dns/promises";
import type { LookupAddress } from "node:dns";
import { isIP } from "node:net";
import { abortable, Failure } from "docker-over-ssh/builds";
import { isPublicAddress } from "./address-rules.ts";
import { isAllowedHost, parseAllowedHost, type AllowedHost } from "./allowed-host.ts";
import { unreachable } from "./unreachable.ts";

/** What may be reached on behalf of clients: public addresses, and the hosts that the administrator allows. */
export interface Network {
  allowedHosts: readonly AllowedHost[];
  /** Returns the addresses of a name, the one to try first at the front. */
  resolve: (hostname: string) => Promise<readonly LookupAddress[]>;
  isPublic: (address: string) => boolean;
  /** Certificates that are trusted instead of Node's own (PEM) */
  ca?: string | undefined;
}

/**
 * Returns the network of this machine. It has no proxy of the environment: that one would resolve names itself, behind all checks.
 *
 * @param allowedHosts --allow-host. Throws an InvalidValue for one that is none.
 */
export function networkOf(allowedHosts: readonly string[]): Network {
  return {
    allowedHosts: allowedHosts.map(parseAllowedHost),
    // As other programs of this machine do, with its file of hosts.
    resolve: async (hostname) => await lookup(hostname, { all: true, verbatim: true }),
    isPublic: (address) => isPublicAddress(address),
  };
}

/**
 * Parses an address that a client has given. Throws a Failure `usage`. WHATWG URLs have one form of each IPv4 address: `http://2130706433/`,
 * `http://0x7f.1/` and `http://0177.0.0.1/` become `http://127.0.0.1/` here, before anything is compared.
 */
export function parseAddress(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) throw notAnAddress("it is no address of HTTP");
  // They would be in the job's record and in logs.
  if (url.username !== "" || url.password !== "") throw notAnAddress("it contains a user or a password");
  return url;
}

/**
 * As {@link parseAddress}, and throws a Failure `refused` for an IP address that may not be connected to: so whoever submits a job hears of it at
 * once. A name is not resolved before something is sent.
 */
export function readAddress(text: string, network: Network): URL {
  const url = parseAddress(text);
  const literal = literalOf(url);
  if (literal !== undefined) refuseUnlessPublic(url, [literal], network);
  return url;
}

/**
 * Returns the IP addresses of a URL's host, each of which has been checked. One that is not public refuses all of them: a connection tries one
 * after the other. Connections have to be made to these, and not to the name, which may have other addresses a moment later.
 */
export async function checkedAddresses(url: URL, network: Network, signal: AbortSignal): Promise<LookupAddress[]> {
  const literal = literalOf(url);
  const answers: readonly LookupAddress[] =
    literal === undefined ? await resolved(url, network, signal) : [{ address: literal, family: isIP(literal) }];
  refuseUnlessPublic(
    url,
    answers.map(({ address }) => address),
    network,
  );
  return [...answers];
}

async function resolved(url: URL, network: Network, signal: AbortSignal): Promise<readonly LookupAddress[]> {
  const answers = await abortable(network.resolve(url.hostname), signal).catch((error: unknown) => {
    if (signal.aborted) throw error;
    throw unreachable(url, error);
  });
  if (answers.length === 0) throw unreachable(url, { code: "ENOTFOUND" });
  return answers;
}

function refuseUnlessPublic(url: URL, addresses: readonly string[], { allowedHosts, isPublic }: Network): void {
  if (addresses.every((address) => isPublic(address)) || isAllowedHost(url, allowedHosts)) return;
  // Tells neither the addresses that a name has in the server's network, nor of which kind they are.
  throw new Failure("refused", `${url.hostname} has an address that the server does not connect to`, {
    expected: "a host all of whose addresses are public",
    hint: "The server's administrator can allow it with --allow-host.",
  });
}

/** Returns the IP address that is in a URL in place of a name. */
function literalOf({ hostname }: URL): string | undefined {
  const address = hostname.replace(/^\[(.*)\]$/, "$1");
  return isIP(address) === 0 ? undefined : address;
}

function notAnAddress(why: string): Failure {
  // Without the text: it may have a password.
  return new Failure("usage", `the address cannot be used: ${why}`, {
    expected: "http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH",
  });
}
