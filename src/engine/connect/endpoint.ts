import type { Duplex } from "node:stream";
import { Failure } from "../../output/errors.ts";

/** Certificates and key for a TLS connection, in PEM. */
export interface TlsMaterial {
  /** The only trusted authorities; undefined for the system's. */
  ca?: Buffer;
  cert?: Buffer;
  key?: Buffer;
  /** Whether the engine's certificate is checked. */
  verify: boolean;
}

/** The address of an engine. */
export type EngineAddress =
  | { protocol: "unix" | "npipe"; path: string }
  | { protocol: "tcp"; hostname: string; port: number; pathPrefix: string; tls?: TlsMaterial }
  | SshAddress
  | StreamAddress;

/** A stream that the caller opens, such as the stdin and stdout of `docker system dial-stdio`. */
export interface StreamAddress {
  protocol: "stream";
  open: () => Duplex;
  /** Opens a second stream for an optional request. Its failure does no harm. Default: `open` */
  another?: () => Duplex;
  /** The engine speaks HTTP/2 from the first byte, so one stream carries all requests. */
  speaksHttp2?: boolean | undefined;
  /**
   * The gzip level for archives that the engine loads, 1 to 9, or 0 for none. Engines that do not accept gzip always get plain archives.
   */
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
  /** The address that the user has given, with defaults filled in, e.g. `tcp://build:2375`. Never contains a password. */
  host: string;
  /** The source of the address, e.g. `DOCKER_HOST` or `context prod`. */
  source: string;
  address: EngineAddress;
}

/** Formats the endpoint for messages: `unix:///var/run/docker.sock (context default)`. */
export function describeEndpoint({ host, source }: EngineEndpoint): string {
  return `${host} (${source})`;
}

/** Returns whether the engine may run on this machine. Only such an engine can push to a port of this machine's 127.0.0.1. */
export function mayReachUs(address: EngineAddress): boolean {
  if (address.protocol === "tcp") return /^(?:localhost|127(?:\.\d{1,3}){3}|::1)$/.test(address.hostname);
  return address.protocol === "unix" || address.protocol === "npipe";
}

/**
 * Returns whether all requests share one connection, over a program's stdin and stdout. They wait for each other, so each needs a time
 * limit. The connection uses a network, so it is worth compressing data on it.
 */
export function isOneStream({ protocol }: EngineAddress): boolean {
  return protocol === "ssh" || protocol === "stream";
}

/** Returns the socket, or the named pipe, that docker listens on by default. */
function defaultSocket(platform: NodeJS.Platform): string {
  return platform === "win32" ? "npipe:////./pipe/docker_engine" : "unix:///var/run/docker.sock";
}

/** Ports that IANA registered for the Docker API, plain and over TLS. */
export const PLAIN_PORT = 2375;
export const TLS_PORT = 2376;

/** Returns whether the environment requests TLS for TCP addresses. As for the docker CLI, any value except the empty one does, even `0`. */
export function wantsTls(env: NodeJS.ProcessEnv): boolean {
  return Boolean(env["DOCKER_TLS_VERIFY"] || env["DOCKER_TLS"]);
}

/**
 * Returns the engine that `-H` or `DOCKER_HOST` names, without TLS material, which is in files. Returns undefined if neither is set: the
 * docker context decides. An empty `-H` means the default: the socket, or `localhost:2376` when TLS is on.
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

/** Returns the address of the default engine. */
export function defaultHost(env: NodeJS.ProcessEnv, platform: NodeJS.Platform): string {
  return wantsTls(env) ? `tcp://localhost:${TLS_PORT}` : defaultSocket(platform);
}

/**
 * Parses the address of an engine as the docker CLI does (docker/cli `opts/hosts.go`, and `cli/connhelper/ssh` for ssh). The default
 * socket, `localhost` and port 2375 replace missing parts; an address without a scheme is a TCP address.
 *
 * @param host `unix://`, `npipe://`, `tcp://`, `http://`, `https://` or `ssh://`
 * @param source the setting that contains `host`, for messages
 * @param tls for a TCP address; undefined for plain HTTP
 * @throws Failure `usage`
 */
export function parseHost(host: string, source: string, tls?: TlsMaterial): EngineEndpoint {
  const text = host.trim();
  const [scheme, rest] = text.includes("://") ? split(text, "://") : ["tcp", text];
  // No cause: an ERR_INVALID_URL contains its input, which may contain a password.
  const refuse = (reason: string): never => {
    throw new Failure("usage", `${withoutPassword(text)} (${source}) is not the address of an engine: ${reason}`, {
      expected:
        "unix://PATH, npipe://PATH, tcp://HOST[:PORT], http(s)://HOST[:PORT] or ssh://[USER@]HOST[:PORT][/PATH/TO/SOCKET]",
      hint: "Correct it, or omit it to use the current docker context.",
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
      return refuse(`${scheme}:// is not supported`);
  }
}

type Refuse = (reason: string) => never;

/** As in the CLI, `tcp://host` gets port 2375 even when TLS is on; only an empty host becomes `localhost:2376` ({@link defaultHost}). */
function parseTcp(
  scheme: "tcp" | "http" | "https",
  rest: string,
  source: string,
  tls: TlsMaterial | undefined,
  refuse: Refuse,
): EngineEndpoint {
  if (rest.includes("://")) refuse("it has two schemes");
  const url = parseUrl(`tcp://${/^(:|\/|$)/.test(rest) ? "localhost" : ""}${rest}`, refuse);
  if (url.username !== "" || url.password !== "") refuse("a TCP address has no user and no password");
  if (url.search !== "" || url.hash !== "") refuse("an engine address has no query and no fragment");
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
  if (url.password !== "") refuse("it must not contain a password; ssh uses an agent or a key");
  if (url.hostname === "") refuse("it names no host");
  if (url.search !== "" || url.hash !== "") refuse("an engine address has no query and no fragment");
  const user = decode(url.username, refuse);
  const hostname = bare(decode(url.hostname, refuse));
  const socketPath = decode(url.pathname, refuse);
  if (!isSafeForSsh(user) || !isSafeForSsh(hostname))
    refuse("its user or host contains characters that ssh may treat as an option or a command");
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
 * Rejects a leading `-`, which ssh treats as an option, and characters that reach a shell through `ProxyCommand` with `%h` and `%r`.
 * OpenSSH rejects the same ones since 9.6 (CVE-2023-51385).
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

/** Removes the brackets of an IPv6 address. */
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
