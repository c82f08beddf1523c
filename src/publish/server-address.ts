import { isIP } from "node:net";
import { Failure } from "../output/errors.ts";

/** The address of a build service. */
export interface ServerAddress {
  /** The address of its API; the path ends with `/` */
  base: URL;
  /** A Unix socket that leads to the service */
  socketPath?: string;
  /** The address for messages */
  shown: string;
  /** Nobody on the path can read the requests: https, this machine, or a socket */
  isPrivate: boolean;
}

/** The port of `docker-over-ssh serve`, for a host without one. */
const DEFAULT_PORT = "8080";

/**
 * Reads the address of the build service: `given` (--server), or BUILD_HOST and BUILD_PORT. Throws a Failure `usage`.
 *
 * @param given http://, https:// or unix:PATH
 */
export function readServerAddress(given: string | undefined, env: NodeJS.ProcessEnv): ServerAddress {
  if (given !== undefined) return parseAddress(given, "--server");
  const { BUILD_HOST: host = "", BUILD_PORT: port = "" } = env;
  if (host === "") {
    throw new Failure("usage", "no address of a build service is given", {
      expected: "--server URL, or BUILD_HOST and BUILD_PORT in the environment",
      hint: "For instance --server https://build.example.com",
    });
  }
  if (port !== "" && !/^\d{1,5}$/.test(port)) throw notAnAddress(`BUILD_PORT=${port}`);
  if (host.startsWith("unix:")) return parseAddress(host, "BUILD_HOST");
  if (!host.includes("://")) {
    const name = isIP(host) === 6 ? `[${host}]` : host;
    const hasPort = /:\d+$/.test(name);
    return parseAddress(hasPort ? `http://${name}` : `http://${name}:${port || DEFAULT_PORT}`, "BUILD_HOST");
  }
  const address = parseAddress(host, "BUILD_HOST");
  if (port === "" || address.base.port !== "") return address;
  address.base.port = port;
  return { ...address, shown: shownUrl(address.base) };
}

function parseAddress(given: string, from: string): ServerAddress {
  const [, socketPath] = /^unix:(?:\/\/)?(.+)$/.exec(given) ?? [];
  if (socketPath !== undefined)
    return { base: new URL("http://localhost/"), socketPath, shown: `unix:${socketPath}`, isPrivate: true };
  const base = URL.canParse(given) ? new URL(given) : undefined;
  if (base === undefined || !/^https?:$/.test(base.protocol)) throw notAnAddress(`${from} ${given}`);
  if (base.username !== "" || base.password !== "") {
    throw new Failure("usage", `${from} has a user or a password`, {
      expected: "an address without credentials",
      hint: "Put the token into a file named by --token-file, or into BUILD_AUTH.",
    });
  }
  if (base.search !== "" || base.hash !== "") throw notAnAddress(`${from} ${given}`);
  if (!base.pathname.endsWith("/")) base.pathname += "/";
  return { base, shown: shownUrl(base), isPrivate: base.protocol === "https:" || isThisMachine(base.hostname) };
}

function shownUrl(base: URL): string {
  return base.href.replace(/\/$/, "");
}

/** @param hostname the host of a URL: an IPv4 address in its usual form, or an IPv6 address in brackets */
function isThisMachine(hostname: string): boolean {
  if (isIP(hostname) === 4) return hostname.startsWith("127.");
  return hostname === "localhost" || hostname === "[::1]";
}

function notAnAddress(given: string): Failure {
  return new Failure("usage", `${given} is not an address of a build service`, {
    expected: "http://HOST:PORT, https://HOST or unix:PATH",
    hint: "For instance --server https://build.example.com",
  });
}
