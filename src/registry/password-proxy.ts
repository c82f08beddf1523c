import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { createProxyServer } from "http-proxy-3";
import type { Credentials } from "../engine/credentials.ts";
import { asSocket } from "../streams/bridge.ts";
import { basicAuth, isAuthorized } from "./password.ts";
import { ConnectionLimiter } from "./connection-limiter.ts";

/** Requires a password in front of a registry that has none, or whose password others may know. */
export interface PasswordProxy extends AsyncDisposable {
  /** Answers HTTP on a stream, without a port. Owns the stream. */
  accept(stream: Duplex): void;
  /** Listens on a free port of 127.0.0.1, and returns it. */
  listen(): Promise<number>;
}

export interface PasswordProxyOptions {
  /** Base URL of the registry. */
  target: string;
  credentials: Credentials;
  /** The credentials that the registry itself needs. */
  upstream?: Credentials | undefined;
  /** Returns whether a request may pass, by method and path. The proxy answers other requests with 403. */
  allows: (method: string, path: string) => boolean;
  /** Called if the registry cannot be reached. */
  onUnreachable: (error: Error) => void;
}

/** Allows reading one repository, because the receiver must not see the sender's other images. */
export function allowReads(repository: string): PasswordProxyOptions["allows"] {
  return (method, path) => (method === "GET" || method === "HEAD") && isWithin(path, repository);
}

/** Allows writing to one repository, and reading it. */
export function allowWrites(repository: string): PasswordProxyOptions["allows"] {
  return (_, path) => isWithin(path, repository);
}

/** Returns whether a path is `/v2/`, which checks for a registry, or below the repository. Rejects paths that a registry may normalise. */
function isWithin(path: string, repository: string): boolean {
  const [withoutQuery = ""] = path.split("?", 1);
  if (/%|\/\.\.?(?:\/|$)|\/\//.test(withoutQuery)) return false;
  return withoutQuery === "/v2/" || withoutQuery.startsWith(`/v2/${repository}/`);
}

/**
 * Forwards requests with `credentials` (RFC 7617) to the registry, without their Authorization header, and answers others with 401.
 * Preserves the Host header, because a registry builds its upload URLs from it.
 */
export function passwordProxy(options: PasswordProxyOptions): PasswordProxy {
  const { target, onUnreachable } = options;
  const proxy = createProxyServer({ target, changeOrigin: false, xfwd: false });
  proxy.on("error", (error: Error, _request, response) => {
    if ((error as NodeJS.ErrnoException).code === "ECONNREFUSED") onUnreachable(error);
    if ("headersSent" in response && !response.headersSent)
      sendError(response, 502, "UNAVAILABLE", "the registry does not answer");
    else response.destroy();
  });
  const connections = new ConnectionLimiter();
  const server: Server = createServer((request, response) => {
    if (isAllowed(request, response, connections, options)) proxy.web(request, response);
  });
  connections.watch(server);
  // A layer of many GB on a slow link takes longer than Node's default limit of five minutes.
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

/** Checks a request. If it is allowed, adds the registry's own credentials; otherwise answers with an error, and returns false. */
function isAllowed(
  request: IncomingMessage,
  response: ServerResponse,
  connections: ConnectionLimiter,
  { credentials, upstream, allows }: PasswordProxyOptions,
): boolean {
  const hasPassword = isAuthorized(request.headers.authorization, credentials);
  if (!hasPassword || !connections.admit(request)) {
    connections.refuse(request, response);
    if (hasPassword) return sendError(response, 429, "TOOMANYREQUESTS", "there are too many connections");
    response.setHeader("www-authenticate", 'Basic realm="docker-over-ssh"');
    return sendError(response, 401, "UNAUTHORIZED", "this registry asks for the password of this run");
  }
  if (!allows(request.method ?? "", request.url ?? "")) return sendError(response, 403, "DENIED", "not for this run");
  if (upstream === undefined) delete request.headers.authorization;
  else request.headers.authorization = basicAuth(upstream);
  return true;
}

/** Answers with an error body of the distribution spec. */
function sendError(response: ServerResponse, status: number, code: string, message: string): false {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify({ errors: [{ code, message }] }));
  return false;
}
