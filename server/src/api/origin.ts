import ipaddr from "ipaddr.js";

/** Tells whether a connection comes from this machine: a reverse proxy on it may say for whom it asks (X-Forwarded-For). */
export function fromThisMachine(address: string | undefined): boolean {
  // A Unix socket has no address.
  if (address === undefined) return true;
  return ipaddr.isValid(address) && ipaddr.process(address).range() === "loopback";
}
