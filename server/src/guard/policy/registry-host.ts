import { lookup } from "node:dns/promises";
import type { Reference } from "docker-over-ssh/builds";
import { isPublicAddress } from "../../net/address-rules.ts";
import { Refusal } from "../refusal.ts";
import { matchesPattern, partsOf } from "./patterns.ts";
import type { ImagePattern } from "./policy.ts";

/** It is outside, and need not be looked up where there is no internet. */
const DOCKER_HUB = "docker.io";

/**
 * A host, with its port, that is an address or this machine's own, in the syntax that Go's regular expressions share. As in URLs, a last label of
 * digits makes an address: some resolvers take `127.1` and `0x7f000001`.
 */
export const ADDRESS = String.raw`(?:\[[^/]*\]|(?:[^/]*\.)?(?:localhost|[0-9]+|0[xX][0-9a-fA-F]*))(?::[0-9]+)?`;

/** Whether policy names the host of a reference, and does not only allow it among others with a star. */
export function namesHost(patterns: readonly ImagePattern[], reference: Reference): boolean {
  return patterns.some((pattern) => matchesPattern(pattern, reference) && partsOf(pattern)?.host === reference.domain);
}

/**
 * Refuses a registry inside of the network that policy does not name: a star among its patterns is meant for registries of the world, and not for
 * services beside the guard.
 *
 * @throws Refusal `registry.not-public`
 */
export async function checkHostOf(reference: Reference, patterns: readonly ImagePattern[]): Promise<void> {
  if (!namesHost(patterns, reference)) await checkPublicHost(reference.domain);
}

/** As {@link checkHostOf}, without looking up a name. */
export function refuseAddressOf(reference: Reference, patterns: readonly ImagePattern[]): void {
  const isAddress = new RegExp(`^${ADDRESS}$`).test(reference.domain);
  if (isAddress && !namesHost(patterns, reference)) throw notPublicHost(reference.domain);
}

/**
 * As {@link checkHostOf}, for a registry's host. What is not found passes: whoever connects to it tells why. That one looks the name up again, and a
 * hostile DNS server may answer in another way than here (docs/guard.md, "What it cannot check").
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
    `${host} is inside of a network: a registry there can be used where the guard's policy names its host`,
  );
}
