import { lookup } from "node:dns/promises";
import type { Reference } from "docker-over-ssh/builds";
import { isPublicAddress } from "../../net/address-rules.ts";
import { Refusal } from "../refusal.ts";
import { matchesPattern, partsOf } from "./patterns.ts";
import type { ImagePattern } from "./policy.ts";

/** Known to be public: needs no lookup, which would fail without internet access. */
const DOCKER_HUB = "docker.io";

/**
 * Matches a host, with its port, that is an IP address or `localhost`, in syntax that Go's regular expressions share. As in URLs, a numeric last label makes
 * an address: some resolvers accept `127.1` and `0x7f000001`.
 */
export const ADDRESS = String.raw`(?:\[[^/]*\]|(?:[^/]*\.)?(?:localhost|[0-9]+|0[xX][0-9a-fA-F]*))(?::[0-9]+)?`;

/** Returns whether a pattern names the host of a reference literally, and not by a star. */
export function namesHost(patterns: readonly ImagePattern[], reference: Reference): boolean {
  return patterns.some((pattern) => matchesPattern(pattern, reference) && partsOf(pattern)?.host === reference.domain);
}

/**
 * Refuses a registry in a private network that no pattern names: a star in a pattern is for public registries, not for
 * services next to the guard.
 *
 * @throws Refusal `registry.not-public`
 */
export async function checkHostOf(reference: Reference, patterns: readonly ImagePattern[]): Promise<void> {
  if (!namesHost(patterns, reference)) await checkPublicHost(reference.domain);
}

/** Like {@link checkHostOf}, without resolving a name. */
export function refuseAddressOf(reference: Reference, patterns: readonly ImagePattern[]): void {
  const isAddress = new RegExp(`^${ADDRESS}$`).test(reference.domain);
  if (isAddress && !namesHost(patterns, reference)) throw notPublicHost(reference.domain);
}

/**
 * Like {@link checkHostOf}, for the host of a registry. A name that cannot be resolved passes: the connection will fail
 * with the reason. The connection resolves the name again, and a hostile DNS server may return another address to it
 * (docs/guard.md, "Remaining risks").
 */
export async function checkPublicHost(host: string): Promise<void> {
  if (host === DOCKER_HUB) return;
  const name = host.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
  const addresses = await lookup(name, { all: true }).catch(() => []);
  if (!addresses.every(({ address }) => isPublicAddress(address))) throw notPublicHost(host);
}

function notPublicHost(host: string): Refusal {
  return new Refusal(
    "registry.not-public",
    `${host} is in a private network: a registry there can be used only if the guard's policy names its host`,
  );
}
