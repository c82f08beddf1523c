import type { FastifyInstance } from "fastify";
import ipaddr from "ipaddr.js";
import { ProblemError } from "./problem.ts";

/**
 * Returns whether a connection comes from this machine. A reverse proxy on it may name the client (X-Forwarded-For).
 */
export function fromThisMachine(address: string | undefined): boolean {
  // A Unix socket has no address.
  if (address === undefined) return true;
  return ipaddr.isValid(address) && ipaddr.process(address).range() === "loopback";
}

/**
 * Rejects requests that pages of other sites make a browser on this machine send. Only for a server without tokens: it
 * trusts every client that reaches it, and such a page reaches it with a form (another `Origin`) or with a name of its
 * own that resolves to this machine (another `Host`).
 */
export function refuseForeignPages(app: FastifyInstance): void {
  app.addHook("onRequest", async ({ headers, method, socket }) => {
    // Browsers cannot connect to a Unix socket. X-Forwarded-Host is ignored: a page may send it to its own name.
    if (socket.remoteAddress !== undefined && !isOwnName(headers.host)) {
      throw new ProblemError(403, "foreign-host", "Without tokens, this server does not answer to this name.", {
        hint: "Give the server tokens (--token-file), or ask for localhost.",
      });
    }
    if (method === "GET" || method === "HEAD") return;
    const site = headers["sec-fetch-site"];
    const isForeign = site !== undefined && site !== "same-origin" && site !== "none";
    if (!isForeign && (headers.origin === undefined || hostOf(headers.origin) === headers.host)) return;
    throw new ProblemError(
      403,
      "foreign-origin",
      "Without tokens, this server rejects requests from pages of other sites.",
    );
  });
}

function isOwnName(host: string | undefined): boolean {
  if (host === undefined || !URL.canParse(`http://${host}/`)) return false;
  const name = new URL(`http://${host}/`).hostname.replace(/^\[(.*)\]$/, "$1");
  return name === "localhost" || name.endsWith(".localhost") || (ipaddr.isValid(name) && fromThisMachine(name));
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}
