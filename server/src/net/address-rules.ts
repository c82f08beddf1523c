import { networkInterfaces } from "node:os";
import ipaddr from "ipaddr.js";

/** IPv6 addresses of the internet (RFC 4291, 2.4): whatever is outside is special, also what nobody has named yet. */
const GLOBAL_UNICAST = ipaddr.parseCIDR("2000::/3");
/** Names an IPv4 address for a translator at the edge of a network that has IPv6 alone (RFC 6052) */
const NAT64 = ipaddr.parseCIDR("64:ff9b::/96");
/** Public in form, and yet a machine's own platform: Azure's virtual address for metadata, keys and DNS */
const PLATFORM = new Set(["168.63.129.16"]);

/**
 * Returns whether the server may connect to an IP address for somebody who is not its administrator: to public addresses only. Private, shared
 * (CGNAT), loopback, link-local (with the metadata services of clouds), multicast, reserved and unspecified ones are refused, by the registries of
 * IANA for special purposes (RFC 6890); so are their forms in IPv6 (mapped, NAT64, 6to4, Teredo), anything that is no address, and the addresses
 * of this machine itself, behind whose firewall the server is.
 *
 * @param own the addresses of this machine, as the system writes them
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

/** Returns the IPv4 address to which a connection to this one leads. 6to4 and Teredo are not among them: nothing uses them any more. */
function embedded4(address: ipaddr.IPv6): ipaddr.IPv4 | undefined {
  if (address.isIPv4MappedAddress()) return address.toIPv4Address();
  return address.match(NAT64) ? new ipaddr.IPv4(address.toByteArray().slice(12)) : undefined;
}

function ownAddresses(): ReadonlySet<string> {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return new Set(addresses.map(({ address }) => address));
}
