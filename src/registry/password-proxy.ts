import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { createProxyServer } from "http-proxy-3";
import type { Credentials } from "../engine/engine-images.ts";
import { asSocket } from "../streams/bridge.ts";
import { basicAuth, isAuthorized } from "./password.ts";
import { ConnectionLimiter } from "./connection-limiter.ts";

/** A door with a password before a registry that has none of its own, or one that others may know. */
export interface PasswordProxy extends AsyncDisposable {
  /** Answers HTTP on a stream; no port is opened for it. Owns the stream. */
  accept(stream: Duplex): void;
  /** Listens on a free port of 127.0.0.1, and tells which. */
  listen(): Promise<number>;
}

export interface PasswordProxyOptions {
  /** Base URL of the registry. */
  target: string;
  credentials: Credentials;
  /** What the registry itself asks for. */
  upstream?: Credentials | undefined;
  /** Which requests pass at all, by method and path; the others are answered 403. */
  allows: (method: string, path: string) => boolean;
  /** Hears when the registry cannot be reached. */
  onUnreachable: (error: Error) => void;
}

/** For who reads one repository: the sender's other images are none of the receiver's business. */
export function readsOnly(repository: string): PasswordProxyOptions["allows"] {
  return (method, path) => (method === "GET" || method === "HEAD") && isWithin(path, repository);
}

/** For who writes into one repository (and may look at what is there already). */
export function writesOnly(repository: string): PasswordProxyOptions["allows"] {
  return (_, path) => isWithin(path, repository);
}

/** `/v2/`, which tells that this is a registry, or below the repository. A path that is not what it seems is not. */
function isWithin(path: string, repository: string): boolean {
  const [plain = ""] = path.split("?", 1);
  if (/%|\/\.\.?(?:\/|$)|\/\//.test(plain)) return false;
  return plain === "/v2/" || plain.startsWith(`/v2/${repository}/`);
}

/**
 * Passes requests that show `credentials` (RFC 7617) on to the registry, without their Authorization header, and answers the
 * others with 401. The Host header is passed on as it came: a registry builds its upload addresses from it.
 */
export function passwordProxy({
  target,
  credentials,
  upstream,
  allows,
  onUnreachable,
}: PasswordProxyOptions): PasswordProxy {
  const proxy = createProxyServer({ target, changeOrigin: false, xfwd: false });
  proxy.on("error", (error: Error, _request, response) => {
    if ((error as NodeJS.ErrnoException).code === "ECONNREFUSED") onUnreachable(error);
    if ("headersSent" in response && !response.headersSent)
      answer(response, 502, "UNAVAILABLE", "the registry does not answer");
    else response.destroy();
  });
  const strangers = new ConnectionLimiter();
  const server: Server = createServer((request, response) => {
    const isKnown = isAuthorized(request.headers.authorization, credentials);
    if (!isKnown || !strangers.admit(request)) {
      strangers.turnAway(request, response);
      if (isKnown) return answer(response, 429, "TOOMANYREQUESTS", "there are too many connections");
      response.setHeader("www-authenticate", 'Basic realm="docker-over-ssh"');
      return answer(response, 401, "UNAUTHORIZED", "this registry asks for the password of this run");
    }
    if (!allows(request.method ?? "", request.url ?? "")) return answer(response, 403, "DENIED", "not for this run");
    if (upstream === undefined) delete request.headers.authorization;
    else request.headers.authorization = basicAuth(upstream);
    proxy.web(request, response);
  });
  strangers.watch(server);
  // A layer of many GB over a thin link takes longer than Node's five minutes for a request.
  server.requestTimeout = 0;
  server.keepAliveTimeout = 60_000;
  return {
    accept(stream) {
      server.emit("connection", asSocket(stream));
    },
    async listen() {
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      return (server.address() as AddressInfo).port;
    },
    async [Symbol.asyncDispose]() {
      proxy.close();
      server.closeAllConnections();
      if (!server.listening) return;
      const closed = once(server, "close");
      server.close();
      await closed;
    },
  };
}

/** An error body as the distribution spec has them. */
function answer(response: ServerResponse, status: number, code: string, message: string): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify({ errors: [{ code, message }] }));
}
