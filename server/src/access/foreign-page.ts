import type { IncomingHttpHeaders } from "node:http";
import { isIP } from "node:net";
import ipaddr from "ipaddr.js";

/**
 * Whether a request comes, or may come, from a page of somebody else in a browser of this machine. A server without tokens takes orders from all of
 * this machine, and a browser lets each page send some: forms, and `fetch` without reading the answer (its Origin is another), or with reading it,
 * from a name whose DNS has changed to 127.0.0.1 (its Host is that name). With tokens neither has any effect: a page does not have one.
 *
 * Clients that are no browser send no Origin, and whatever name they know the server by: over TCP it has to be one of loopback.
 */
export function mayBeForeignPage({ host, origin }: Pick<IncomingHttpHeaders, "host" | "origin">): boolean {
  if (host !== undefined && !isLoopbackName(host)) return true;
  if (origin === undefined) return false;
  if (host === undefined || !URL.canParse(origin)) return true; // also `null`, the origin of a page in a sandbox
  const { protocol, host: from } = new URL(origin);
  return from !== new URL(`${protocol}//${host}/`).host;
}

function isLoopbackName(host: string): boolean {
  if (!URL.canParse(`http://${host}/`)) return false;
  const hostname = new URL(`http://${host}/`).hostname.replace(/^\[(.*)\]$/, "$1");
  return hostname === "localhost" || (isIP(hostname) !== 0 && ipaddr.process(hostname).range() === "loopback");
}
