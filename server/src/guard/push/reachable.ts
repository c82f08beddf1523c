import { lookup } from "node:dns";
import { isIP, type LookupFunction } from "node:net";
import { isPublicAddress } from "../../net/address-rules.ts";
import { Refusal } from "../refusal.ts";

/**
 * Looks up a name, and fails where an address of it is not public. The connection is made to what has been checked: the name may have another
 * address a moment later.
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
 * Refuses an address that a registry names, for an upload, a redirect, or its token service, unless it is the registry's own or has HTTPS: the
 * certificate shows that its owner serves strangers. Services that trust their network, like the metadata of a cloud, have none.
 *
 * @param onlyPublic whether names in policy do not say this registry: then nothing inside of the network is reached
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

/** Refuses an IP address that is not public. A name is checked when it is looked up ({@link lookupPublic}). */
export function checkLiteral({ hostname }: URL, onlyPublic: boolean): void {
  const literal = hostname.replace(/^\[(.*)\]$/, "$1");
  if (onlyPublic && isIP(literal) !== 0 && !isPublicAddress(literal)) throw notPublic(literal);
}

function notPublic(host: string): Refusal {
  return new Refusal(
    "push.not-public",
    `${host} is inside of a network: a registry there can be pushed to where the guard's policy names its host`,
  );
}
