import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { request as sendRequest, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runInside } from "../testbed/machine.ts";
import { bed } from "./bed.ts";
import { inFarNetwork, twoMachines } from "./build-projects.ts";
import { startRegistry } from "./registry.ts";

/** How a registry requests credentials. `token` sends clients to a token service (distribution, docs/spec/auth/token.md). */
export type AuthScheme = "basic" | "token";

/** One registry in the network of the far machine, under two addresses, because an engine remembers the scheme of an address. */
export interface PrivateRegistries extends AsyncDisposable {
  /** ADDRESS:PORT of each */
  hosts: Record<AuthScheme, string>;
  /** The address of the same registry without a password, which only the tests use. */
  open: string;
}

export interface User {
  username: string;
  password: string;
}

/** Forwards connections to a socket of this machine. */
const RELAY = `const net = require("net"), [to, address] = process.argv.slice(1);
const server = net.createServer((one) => {
  const other = net.connect(to);
  one.on("error", () => other.destroy());
  other.on("error", () => one.destroy());
  one.pipe(other).pipe(one);
});
server.listen(0, address, () => console.log("port " + server.address().port + " is open"));`;

/**
 * Starts a registry that only this user may use, with TLS, on the address of the far machine. The far engine trusts its certificate. It reads
 * the names of such registries when it starts, so it is restarted.
 */
export async function startPrivateRegistries(user: User): Promise<PrivateRegistries> {
  const { far, wire } = twoMachines();
  const folder = mkdtempSync(join(tmpdir(), "dos-registry-"));
  makeKeys(folder, wire.farAddress);
  const backend = await startRegistry(bed.near);
  const fronts = {
    basic: await startFront("basic", { user, backend: backend.host, folder }),
    token: await startFront("token", { user, backend: backend.host, folder }),
  };
  const trusted = join(folder, "etc-docker");
  for (const { host } of Object.values(fronts)) {
    mkdirSync(join(trusted, "certs.d", host), { recursive: true });
    cpSync(join(folder, "cert.pem"), join(trusted, "certs.d", host, "ca.crt"));
  }
  await runInside(far, "mount", ["--bind", trusted, "/etc/docker"]);
  await bed.far.stop();
  await bed.far.start();
  return {
    hosts: { basic: fronts.basic.host, token: fronts.token.host },
    open: `http://${backend.host}`,
    async [Symbol.asyncDispose]() {
      await runInside(far, "umount", ["/etc/docker"]);
      for (const front of Object.values(fronts)) await front[Symbol.asyncDispose]();
      await backend[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true });
    },
  };
}

/** Starts the proxy that requires the password, in front of a registry without one. */
async function startFront(
  scheme: AuthScheme,
  { user, backend, folder }: { user: User; backend: string; folder: string },
): Promise<{ host: string } & AsyncDisposable> {
  const keys = { key: readFileSync(join(folder, "key.pem")), cert: readFileSync(join(folder, "cert.pem")) };
  const basic = `Basic ${Buffer.from(`${user.username}:${user.password}`).toString("base64")}`;
  const token = randomUUID();
  const { farAddress } = twoMachines().wire;
  const socket = join(folder, `${scheme}.sock`);
  const server = createServer(keys, (request, response) => {
    const isToken = scheme === "token" && request.url?.startsWith("/token?") === true;
    // Newer clients try POST before: https://distribution.github.io/distribution/spec/auth/oauth/
    if (isToken && request.method !== "GET") response.writeHead(404).end();
    else if (request.headers.authorization !== (scheme === "basic" || isToken ? basic : `Bearer ${token}`))
      refuse(response);
    else if (isToken) response.end(JSON.stringify({ token, access_token: token }));
    else passOn(backend, request, response);
  });
  const refuse = (response: ServerResponse): void => {
    const bearer = `Bearer realm="https://${host}/token",service="tests",scope="repository:any:pull,push"`;
    const challenge = scheme === "basic" ? 'Basic realm="tests"' : bearer;
    response.writeHead(401, { "content-type": "application/json", "www-authenticate": challenge });
    response.end('{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}');
  };
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  const relay = await inFarNetwork([process.execPath, "-e", RELAY, socket, farAddress], "is open");
  const host = `${farAddress}:${/port (\d+)/.exec(relay.printed)?.[1]}`;
  return {
    host,
    async [Symbol.asyncDispose]() {
      await relay[Symbol.asyncDispose]();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The registry builds its URLs from the headers. */
function passOn(to: string, request: IncomingMessage, response: ServerResponse): void {
  const { authorization: _, ...headers } = request.headers;
  const options = { method: request.method, headers: { ...headers, "x-forwarded-proto": "https" } };
  const further = sendRequest(`http://${to}${request.url}`, options);
  further.on("response", (answer) => answer.pipe(response.writeHead(answer.statusCode ?? 502, answer.headers)));
  further.on("error", () => response.destroy());
  request.pipe(further);
}

/** Creates a key and a self-signed certificate. */
function makeKeys(folder: string, address: string): void {
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  const name = ["-subj", "/CN=registry", "-addext", `subjectAltName=IP:${address}`];
  const files = ["-keyout", join(folder, "key.pem"), "-out", join(folder, "cert.pem")];
  execFileSync("openssl", ["req", "-x509", ...kind, ...name, ...files], { stdio: "ignore" });
}
