import { lookup } from "node:dns";
import { isIP, type LookupFunction } from "node:net";
import { isPublicAddress } from "../../net/address-rules.ts";
import { Refusal } from "../refusal.ts";

/**
 * Looks up a name, and fails if one of its addresses is not public. The connection uses the checked addresses, because a second lookup could return others.
 */
export const lookupPublic: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...options, all: true }, (error, addresses) => {
    if (error !== null) return callback(error, "", 0);
    if (!addresses.every(({ address }) => isPublicAddress(address))) return callback(notPublic(hostname), "", 0);
    if (options.all === true) return callback(null, addresses);
    const [{ address, family } = { address: "", family: 0 }] = addresses;
    callback(null, address, family);
  });
};

/**
 * Refuses an address that a registry names for an upload, a redirect, or its token service, unless it is the registry's own or uses HTTPS. Services that trust
 * their network, like the metadata service of a cloud, have no HTTPS.
 *
 * @param onlyPublic true if no pattern of the policy names this registry, so that private addresses are refused
 */
export function checkNamedAddress(url: URL, registry: URL, onlyPublic: boolean): void {
  if (url.username !== "" || url.password !== "" || (url.protocol !== "https:" && url.origin !== registry.origin)) {
    throw new Refusal(
      "push.foreign-address",
      `${registry.host} leads to ${url.protocol}//${url.host}, which is not the registry: another host is only reached by HTTPS`,
    );
  }
  checkLiteral(url, onlyPublic);
}

/** Refuses an IP address that is not public. {@link lookupPublic} checks names. */
export function checkLiteral({ hostname }: URL, onlyPublic: boolean): void {
  const literal = hostname.replace(/^\[(.*)\]$/, "$1");
  if (onlyPublic && isIP(literal) !== 0 && !isPublicAddress(literal)) throw notPublic(literal);
}

function notPublic(host: string): Refusal {
  return new Refusal(
    "push.not-public",
    `${host} is in a private network: a registry there can be pushed to only if the guard's policy names its host`,
  );
}
