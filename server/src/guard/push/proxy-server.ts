import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { ConnectionLimiter } from "docker-over-ssh/builds";
import { sendError, type PushTraffic } from "./push-traffic.ts";

/** Maximum connections with a valid password. An engine sends five layers of each push at once. */
const MAX_CONNECTIONS = 512;

/** A registry on a port of 127.0.0.1, to which the engine sends the running pushes. Disposing closes it. */
export interface ProxyServer extends AsyncDisposable {
  /** Starts to listen at the first call. Returns the port, which is always the same. */
  listen(): Promise<number>;
  /** Answers the requests of a push until the result is disposed. */
  open(traffic: PushTraffic): Disposable;
}

/** Creates a proxy that requires the password of a push in each request, because every process of the host can connect to the port. */
export function createProxyServer(): ProxyServer {
  const open = new Map<string, PushTraffic>();
  const connections = new ConnectionLimiter({ authenticated: MAX_CONNECTIONS });
  const server = createServer((request, response) => {
    const { authorization } = request.headers;
    const traffic = open.get(usernameOf(authorization));
    if (traffic !== undefined && traffic.isFrom(authorization) && connections.admit(request))
      return void traffic.handle(request, response);
    connections.refuse(request, response);
    response.setHeader("www-authenticate", 'Basic realm="docker-over-ssh guard"');
    response.setHeader("docker-distribution-api-version", "registry/2.0");
    sendError(response, 401, "UNAUTHORIZED", "this registry requires the password of a push");
  });
  connections.watch(server);
  // A layer of many GB on a slow link takes longer than Node's default limit of five minutes.
  server.requestTimeout = 0;
  server.keepAliveTimeout = 60_000;
  server.unref();
  let port: Promise<number> | undefined;
  const listen = async (): Promise<number> => {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return (server.address() as AddressInfo).port;
  };
  return {
    listen: async () => await (port ??= listen()),
    open(traffic) {
      open.set(traffic.username, traffic);
      return { [Symbol.dispose]: () => void open.delete(traffic.username) };
    },
    async [Symbol.asyncDispose]() {
      if (port === undefined) return;
      await port;
      server.closeAllConnections();
      const closed = once(server, "close");
      server.close();
      await closed;
    },
  };
}

function usernameOf(authorization: string | undefined): string {
  const encoded = /^Basic ([A-Za-z0-9+/]+=*)$/.exec(authorization ?? "")?.[1] ?? "";
  return Buffer.from(encoded, "base64").toString("latin1").split(":", 1)[0] ?? "";
}
