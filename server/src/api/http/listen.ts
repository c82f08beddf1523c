import { once } from "node:events";
import type { Server } from "node:http";
import { Server as TlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { FastifyInstance } from "fastify";
import { Failure, messageOf } from "docker-over-ssh/builds";
import type { ListenAddress, ServeSettings } from "../../settings.ts";
import { readTlsFiles } from "./tls-files.ts";
import { bindUnixSocket } from "./unix-socket.ts";

export interface ListenOptions {
  /** ms that requests may take after the server begins to close; then their connections are closed. */
  closeLimit?: number;
  /** Called with the reason when the certificate cannot be read again. The server continues with the old one. */
  onProblem?: ((failure: Failure) => void) | undefined;
}

/**
 * A listening server. Disposing ends event streams at once, lets other requests finish, and resolves when all
 * connections are closed.
 */
export interface Listening extends AsyncDisposable {
  /** `http://HOST:PORT`, with the actual port, or `unix:PATH` */
  readonly url: string;
  /** Reads the certificate and the key again, as SIGHUP does; open connections keep the old ones. */
  reloadCertificate(): Promise<void>;
}

/**
 * Makes an app listen at an address. Its `tls` contains the files that {@link readTlsFiles} has read.
 *
 * @throws Failure `usage` if the address cannot be used
 */
export async function listen(
  app: FastifyInstance,
  { listen: address, tls }: Pick<ServeSettings, "listen" | "tls">,
  { closeLimit = 5000, onProblem }: ListenOptions = {},
): Promise<Listening> {
  const server: Server = app.server;
  app.addHook("preClose", () => endRequests(server, closeLimit));
  await app.ready();
  try {
    if (address.kind === "unix") await bindUnixSocket(server, address.path);
    else await bindPort(server, address);
  } catch (error) {
    await app.close();
    throw error instanceof Failure ? error : unusable(address, error);
  }
  const reloadCertificate = async (): Promise<void> => {
    if (tls !== undefined && server instanceof TlsServer) server.setSecureContext(await readTlsFiles(tls));
  };
  const onHangUp = (): void =>
    void reloadCertificate().catch((error: unknown) => {
      if (error instanceof Failure) onProblem?.(error);
    });
  if (tls !== undefined) process.on("SIGHUP", onHangUp);
  return {
    url: urlOf(server, address),
    reloadCertificate,
    async [Symbol.asyncDispose]() {
      process.off("SIGHUP", onHangUp);
      await app.close();
    },
  };
}

async function bindPort(server: Server, { host, port }: { host: string; port: number }): Promise<void> {
  server.listen({ host, port });
  await once(server, "listening"); // rejects if an error is emitted instead
}

/** Accepts no more connections, and waits until the open ones have their responses, at most `limit` ms. */
async function endRequests(server: Server, limit: number): Promise<void> {
  if (!server.listening) return;
  const isClosed = new Promise<void>((resolve) => void server.close(() => resolve()));
  let timer: NodeJS.Timeout | undefined;
  const isLate = new Promise<void>((resolve) => (timer = setTimeout(resolve, limit)));
  await Promise.race([isClosed, isLate]);
  clearTimeout(timer);
  server.closeAllConnections();
}

function urlOf(server: Server, address: ListenAddress): string {
  if (address.kind === "unix") return `unix:${address.path}`;
  const { port } = server.address() as AddressInfo;
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;
  return `${server instanceof TlsServer ? "https" : "http"}://${host}:${port}`;
}

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: "another program listens there",
  EACCES: "this user may not listen there",
  EPERM: "this user may not listen there",
  EADDRNOTAVAIL: "this machine has no such address",
  ENOTFOUND: "no host has this name",
};

function unusable(address: ListenAddress, error: unknown): Failure {
  const { code = "" } = error as NodeJS.ErrnoException;
  const at = address.kind === "unix" ? address.path : `${address.host}:${address.port}`;
  const hint =
    code === "EACCES" && address.kind === "tcp" && address.port < 1024
      ? "Ports below 1024 are for the superuser: name another one, or let systemd open the socket of a reverse proxy."
      : "Name another address with --listen.";
  return new Failure("usage", `cannot listen on ${at}: ${REASONS[code] ?? messageOf(error)}`, { hint, cause: error });
}
