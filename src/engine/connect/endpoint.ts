import type { Duplex } from "node:stream";
import { Failure } from "../../output/errors.ts";

/** Keys for a TLS connection, in PEM, and whether the engine's certificate is checked. */
export interface TlsMaterial {
  /** The only authorities that are trusted; undefined for the system's. */
  ca?: Buffer;
  cert?: Buffer;
  key?: Buffer;
  verify: boolean;
}

/** The ways to an engine. */
export type EngineAddress =
  | { protocol: "unix" | "npipe"; path: string }
  | { protocol: "tcp"; hostname: string; port: number; pathPrefix: string; tls?: TlsMaterial }
  | SshAddress
  | StreamAddress;

/** A stream that somebody else opens, such as the stdin and stdout of `docker system dial-stdio`. */
export interface StreamAddress {
  protocol: "stream";
  open: () => Duplex;
  /** Opens one beside it, which the engine may refuse without any harm. Left out: as `open`. */
  another?: () => Duplex;
  /** The engine is known to speak HTTP/2 there, from the first byte: then all goes through this one. */
  speaksHttp2?: boolean | undefined;
  /** Of archives that go through it, 1 to 9; 0: they stay plain. What takes no gzip gets them plain anyhow. */
  gzipLevel?: number | undefined;
}

export interface SshAddress {
  protocol: "ssh";
  user?: string;
  hostname: string;
  port?: number;
  socketPath?: string;
}

export interface EngineEndpoint {
  /** As the user wrote it, with the parts that may be left out filled in, e.g. `tcp://build:2375`. Never holds a password. */
  host: string;
  /** Why this one, e.g. `DOCKER_HOST` or `context prod`. */
  source: string;
  address: EngineAddress;
}

/** Where an engine is and why that one: `unix:///var/run/docker.sock (context default)`. */
export function describeEndpoint({ host, source }: EngineEndpoint): string {
  return `${host} (${source})`;
}

/** Whether 127.0.0.1 of the engine's machine can be this process's own: only then can it be asked to push to us. */
export function mayReachUs(address: EngineAddress): boolean {
  if (address.protocol === "tcp") return /^(?:localhost|127(?:\.\d{1,3}){3}|::1)$/.test(address.hostname);
  return address.protocol === "unix" || address.protocol === "npipe";
}

/**
 * Whether there is one connection for all requests, over a program's stdin and stdout: they wait for each other, so no answer
 * may be waited for without end. What goes through it goes over a wire, and is worth compressing.
 */
export function isOneStream({ protocol }: EngineAddress): boolean {
  return protocol === "ssh" || protocol === "stream";
}

/** The socket that is used when nothing else is said. */
function defaultSocket(platform: NodeJS.Platform): string {
  return platform === "win32" ? "npipe:////./pipe/docker_engine" : "unix:///var/run/docker.sock";
}

/** Ports that IANA has registered for the Docker API, plain and over TLS. */
export const PLAIN_PORT = 2375;
export const TLS_PORT = 2376;

/** Whether the environment asks for TLS to TCP addresses, as for the docker CLI: any value but the empty one does, `0` as well. */
export function wantsTls(env: NodeJS.ProcessEnv): boolean {
  return Boolean(env["DOCKER_TLS_VERIFY"] || env["DOCKER_TLS"]);
}

/**
 * Returns the engine that `-H` or `DOCKER_HOST` names, without its TLS material, which files hold; undefined where neither is given and
 * the docker context decides. An empty `-H` means the default: the socket, or `localhost:2376` where TLS is on.
 *
 * @throws Failure `usage`
 */
export function namedEndpoint(
  host: string | undefined,
  env: NodeJS.ProcessEnv,
  platform: NodeJS.Platform = process.platform,
): EngineEndpoint | undefined {
  const given = host ?? (env["DOCKER_HOST"] || undefined);
  if (given === undefined) return undefined;
  return parseHost(given.trim() || defaultHost(env, platform), host === undefined ? "DOCKER_HOST" : "-H");
}

/** The address that is used when nothing else is given. */
export function defaultHost(env: NodeJS.ProcessEnv, platform: NodeJS.Platform): string {
  return wantsTls(env) ? `tcp://localhost:${TLS_PORT}` : defaultSocket(platform);
}

/**
 * Reads the address of an engine the way the docker CLI does (docker/cli `opts/hosts.go`, and `cli/connhelper/ssh` for ssh):
 * what is left out is the default socket, `localhost` and 2375; a word without a scheme is a TCP address.
 *
 * @param host `unix://`, `npipe://`, `tcp://`, `http://`, `https://` or `ssh://`.
 * @param source Where `host` was written, for the message.
 * @param tls What a TCP address is spoken to with; undefined for plain HTTP.
 * @throws Failure `usage`
 */
export function parseHost(host: string, source: string, tls?: TlsMaterial): EngineEndpoint {
  const text = host.trim();
  const [scheme, rest] = text.includes("://") ? split(text, "://") : ["tcp", text];
  // No cause: an ERR_INVALID_URL carries its input, which may hold a password.
  const refuse = (reason: string): never => {
    throw new Failure("usage", `${withoutPassword(text)} (${source}) is not the address of an engine: ${reason}`, {
      expected:
        "unix://PATH, npipe://PATH, tcp://HOST[:PORT], http(s)://HOST[:PORT] or ssh://[USER@]HOST[:PORT][/PATH/TO/SOCKET]",
      hint: "Correct it, or leave it out to use the current docker context.",
    });
  };
  switch (scheme) {
    case "unix":
    case "npipe": {
      if (rest.includes("://")) refuse("it has two schemes");
      const path = rest === "" ? split(defaultSocket(scheme === "unix" ? "linux" : "win32"), "://")[1] : rest;
      return { host: `${scheme}://${path}`, source, address: { protocol: scheme, path } };
    }
    case "tcp":
    case "http":
    case "https":
      return parseTcp(scheme, rest, source, tls, refuse);
    case "ssh":
      return parseSsh(text, source, refuse);
    default:
      return refuse(`there is no way to an engine called ${scheme}://`);
  }
}

type Refuse = (reason: string) => never;

/** The CLI gives `tcp://host` port 2375 even where TLS is on; only an empty host becomes `localhost:2376` (see choose.ts). */
function parseTcp(
  scheme: "tcp" | "http" | "https",
  rest: string,
  source: string,
  tls: TlsMaterial | undefined,
  refuse: Refuse,
): EngineEndpoint {
  if (rest.includes("://")) refuse("it has two schemes");
  const url = parseUrl(`tcp://${/^(:|\/|$)/.test(rest) ? "localhost" : ""}${rest}`, refuse);
  if (url.username !== "" || url.password !== "") refuse("a user and a password have no meaning there");
  if (url.search !== "" || url.hash !== "") refuse("a query or a fragment has no meaning there");
  const port = url.port === "" ? { tcp: PLAIN_PORT, http: 80, https: 443 }[scheme] : Number(url.port);
  const pathPrefix = url.pathname.replace(/\/+$/, "");
  const secured = tls ?? (scheme === "https" ? { verify: true } : undefined);
  return {
    host: `${scheme}://${url.hostname}:${port}${pathPrefix}`,
    source,
    address: {
      protocol: "tcp",
      hostname: bare(url.hostname),
      port,
      pathPrefix,
      ...(secured && scheme !== "http" && { tls: secured }),
    },
  };
}

function parseSsh(text: string, source: string, refuse: Refuse): EngineEndpoint {
  const url = parseUrl(text, refuse);
  if (url.password !== "") refuse("a password cannot be part of it, ssh asks an agent or uses a key");
  if (url.hostname === "") refuse("it names no host");
  if (url.search !== "" || url.hash !== "") refuse("a query or a fragment has no meaning there");
  const user = decode(url.username, refuse);
  const hostname = bare(decode(url.hostname, refuse));
  const socketPath = decode(url.pathname, refuse);
  if (!isSafeForSsh(user) || !isSafeForSsh(hostname))
    refuse("its user or host holds characters that ssh may take for an option or a command");
  return {
    host: text,
    source,
    address: {
      protocol: "ssh",
      hostname,
      ...(user !== "" && { user }),
      ...(url.port !== "" && { port: Number(url.port) }),
      ...(/[^/]/.test(socketPath) && { socketPath }),
    },
  };
}

/**
 * A leading `-` would be an option of ssh; the others reach a shell through `ProxyCommand` with `%h` and `%r`.
 * OpenSSH refuses the same ones since 9.6 (CVE-2023-51385), older ones do not.
 */
function isSafeForSsh(word: string): boolean {
  return !/^-|['"`$\\;&<>|(){}\s\p{Cc}]/u.test(word);
}

function parseUrl(text: string, refuse: Refuse): URL {
  try {
    return new URL(text);
  } catch {
    return refuse("it is malformed");
  }
}

function decode(text: string, refuse: Refuse): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return refuse("it is malformed");
  }
}

/** An IPv6 address without its brackets. */
function bare(hostname: string): string {
  return hostname.replace(/^\[(.*)\]$/, "$1");
}

function split(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return [text.slice(0, at), text.slice(at + separator.length)];
}

function withoutPassword(text: string): string {
  return text.replace(/((?:^|:\/\/)[^/@:]*):.*@/, "$1:…@");
}
