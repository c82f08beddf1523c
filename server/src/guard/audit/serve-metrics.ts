import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Failure, messageOf } from "docker-over-ssh/builds";
import type { GuardMetrics } from "./metrics.ts";

/** ms for the headers of a client, and the maximum number of connections: anybody may reach the port */
const LIMITS = { headersTimeout: 5000, requestTimeout: 5000, maxConnections: 32 };

export interface ServedMetrics extends AsyncDisposable {
  /** e.g. `http://127.0.0.1:9100/metrics`, with the actual port */
  readonly url: string;
}

/**
 * Answers `GET /metrics` on a port. Disposing closes it.
 *
 * @throws Failure `usage` if the address is not available
 */
export async function serveMetrics(
  { host, port }: { host: string; port: number },
  metrics: Pick<GuardMetrics, "text" | "contentType">,
): Promise<ServedMetrics> {
  const server = createServer({ headersTimeout: LIMITS.headersTimeout, requestTimeout: LIMITS.requestTimeout });
  server.maxConnections = LIMITS.maxConnections;
  server.on("request", ({ method, url }, response) => {
    if (url !== "/metrics" || (method !== "GET" && method !== "HEAD")) {
      response.writeHead(404, { "content-type": "text/plain" }).end("GET /metrics\n");
      return;
    }
    metrics.text().then(
      (text) => response.writeHead(200, { "content-type": metrics.contentType }).end(text),
      () => response.writeHead(500).end(),
    );
  });
  try {
    server.listen({ host, port });
    await once(server, "listening"); // rejects if an error is emitted instead
  } catch (error) {
    throw new Failure("usage", `cannot listen on ${host}:${port} for metrics: ${messageOf(error)}`, {
      hint: "Name another address with --metrics.",
      cause: error,
    });
  }
  const { port: got } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${got}/metrics`,
    async [Symbol.asyncDispose]() {
      const isClosed = new Promise<void>((resolve) => void server.close(() => resolve()));
      server.closeAllConnections();
      await isClosed;
    },
  };
}
