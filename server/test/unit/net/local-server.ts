import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import type { LookupAddress } from "node:dns";
import type { Network } from "../../../src/net/network.ts";

export interface LocalServer extends AsyncDisposable {
  port: number;
  /** Targets of the received requests, e.g. `GET /app.tar` */
  requests: string[];
}

/** Starts a web server on an address of this machine. */
export async function localServer(
  answer: RequestListener,
  { host = "127.0.0.1", port = 0, tls }: { host?: string; port?: number; tls?: ServerOptions } = {},
): Promise<LocalServer> {
  const requests: string[] = [];
  const listener: RequestListener = (request, response) => {
    requests.push(`${request.method} ${request.url}`);
    answer(request, response);
  };
  const server: Server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, host, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Returns the answers of a stand-in for DNS. */
export function answers(...addresses: string[]): LookupAddress[] {
  return addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
}

/**
 * A network in which 127.0.0.2 is the internet, and other loopback addresses are private: no data leaves this machine,
 * and the checks are the same. Every name resolves to 127.0.0.2.
 */
export function standInNetwork(changes: Partial<Network> = {}): Network {
  return {
    allowedHosts: [],
    resolve: async () => answers("127.0.0.2"),
    isPublic: (address) => address === "127.0.0.2",
    ...changes,
  };
}
