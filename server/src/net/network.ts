import { lookup } from "node:dns/promises";
import type { LookupAddress } from "node:dns";
import { isIP } from "node:net";
import { abortable, Failure } from "docker-over-ssh/builds";
import { isPublicAddress } from "./address-rules.ts";
import { isAllowedHost, parseAllowedHost, type AllowedHost } from "./allowed-host.ts";
import { unreachable } from "./unreachable.ts";

/**
 * The hosts that the server may connect to on behalf of clients: those with public addresses, and those that the
 * operator allows.
 */
export interface Network {
  allowedHosts: readonly AllowedHost[];
  /** Returns the addresses of a name, in the order in which to try them. */
  resolve: (hostname: string) => Promise<readonly LookupAddress[]>;
  isPublic: (address: string) => boolean;
  /** Trusted certificates (PEM), instead of Node's own */
  ca?: string | undefined;
}

/**
 * Returns the network of this machine. It does not use the environment's proxy, which would resolve names itself and
 * bypass all checks.
 *
 * @param allowedHosts --allow-host. Throws an InvalidValue for an invalid one.
 */
export function networkOf(allowedHosts: readonly string[]): Network {
  return {
    allowedHosts: allowedHosts.map(parseAllowedHost),
    // Resolves like other programs on this machine, including its hosts file.
    resolve: async (hostname) => await lookup(hostname, { all: true, verbatim: true }),
    isPublic: (address) => isPublicAddress(address),
  };
}

/**
 * Parses an address that a client has given. Throws a Failure `usage`. WHATWG URLs have one form for each IPv4 address:
 * `http://2130706433/`, `http://0x7f.1/` and `http://0177.0.0.1/` all become `http://127.0.0.1/` before anything is
 * compared.
 */
export function parseAddress(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) throw notAnAddress("it is no address of HTTP");
  // They would appear in the job's record and in logs.
  if (url.username !== "" || url.password !== "") throw notAnAddress("it contains a user or a password");
  return url;
}

/**
 * Like {@link parseAddress}, but also throws a Failure `refused` for a forbidden IP address, so the client learns of it
 * when it submits the job. Does not resolve a name: that happens before something is sent.
 */
export function readAddress(text: string, network: Network): URL {
  const url = parseAddress(text);
  const literal = literalOf(url);
  if (literal !== undefined) refuseUnlessPublic(url, [literal], network);
  return url;
}

/**
 * Returns the checked IP addresses of a URL's host. One non-public address rejects all of them, because a connection
 * tries them one after the other. Connect to these addresses, not to the name, whose addresses may change a moment
 * later.
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
  // The message reveals neither the addresses of the name in the server's network, nor their kind.
  throw new Failure("refused", `${url.hostname} has an address that the server does not connect to`, {
    expected: "a host with only public addresses",
    hint: "The server's operator can allow it with --allow-host.",
  });
}

/** Returns the IP address that a URL contains instead of a name. */
function literalOf({ hostname }: URL): string | undefined {
  const address = hostname.replace(/^\[(.*)\]$/, "$1");
  return isIP(address) === 0 ? undefined : address;
}

function notAnAddress(why: string): Failure {
  // Omits the text, which may contain a password.
  return new Failure("usage", `the address cannot be used: ${why}`, {
    expected: "http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH",
  });
}
