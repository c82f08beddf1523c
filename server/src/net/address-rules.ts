import { networkInterfaces } from "node:os";
import ipaddr from "ipaddr.js";

/** Public IPv6 addresses (RFC 4291, 2.4). All others are special, including ranges not yet assigned. */
const GLOBAL_UNICAST = ipaddr.parseCIDR("2000::/3");
/** An IPv4 address, for a translator at the edge of a network that only has IPv6 (RFC 6052) */
const NAT64 = ipaddr.parseCIDR("64:ff9b::/96");
/** Public in form, but part of the machine's own platform: Azure's virtual address for metadata, keys and DNS */
const PLATFORM = new Set(["168.63.129.16"]);

/**
 * Returns whether the server may connect to an IP address on behalf of somebody who is not its operator. Only
 * public addresses are allowed. Private, shared (CGNAT), loopback, link-local (with the metadata services of clouds),
 * multicast, reserved and unspecified addresses are refused, according to IANA's registries of special-purpose
 * addresses (RFC 6890). Their IPv6 forms (mapped, NAT64, 6to4, Teredo) are refused as well, and so are texts that are
 * not addresses, and this machine's own addresses, because the server is inside the machine's firewall.
 *
 * @param own the addresses of this machine, in the system's notation
 */
export function isPublicAddress(address: string, own: ReadonlySet<string> = ownAddresses()): boolean {
  if (!ipaddr.isValid(address)) return false;
  const parsed = ipaddr.parse(address);
  if (parsed.kind() === "ipv4") return isPublic4(parsed as ipaddr.IPv4, own);
  const parsed6 = parsed as ipaddr.IPv6;
  const embedded = embedded4(parsed6);
  if (embedded !== undefined) return isPublic4(embedded, own);
  return parsed6.match(GLOBAL_UNICAST) && parsed6.range() === "unicast" && !own.has(parsed6.toString());
}

function isPublic4(address: ipaddr.IPv4, own: ReadonlySet<string>): boolean {
  const text = address.toString();
  return address.range() === "unicast" && !PLATFORM.has(text) && !own.has(text);
}

/**
 * Returns the IPv4 address that a connection to this address reaches. Excludes 6to4 and Teredo, which are no longer in
 * use.
 */
function embedded4(address: ipaddr.IPv6): ipaddr.IPv4 | undefined {
  if (address.isIPv4MappedAddress()) return address.toIPv4Address();
  return address.match(NAT64) ? new ipaddr.IPv4(address.toByteArray().slice(12)) : undefined;
}

function ownAddresses(): ReadonlySet<string> {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return new Set(addresses.map(({ address }) => address));
}
