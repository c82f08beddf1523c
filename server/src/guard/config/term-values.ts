import { isAbsolute } from "node:path";
import { InvalidValue, parseSize } from "docker-over-ssh/builds";

/** Parsers of the values of options and of keys in the configuration. Each throws InvalidValue. */

export function countFrom(least: number, most: number): (text: string) => number {
  return (text) => {
    const count = Number(text);
    if (/^\d{1,15}$/.test(text) && count >= least && count <= most) return count;
    throw new InvalidValue(`Expected a number from ${least} to ${most}.`);
  };
}

/** Parses a size of at least 1 byte */
export function parseBytes(text: string): number {
  const size = parseSize(text);
  if (size >= 1 && Number.isSafeInteger(size)) return size;
  throw new InvalidValue("Expected at least one byte, e.g. 500m.");
}

/** The minimum of the classic builder (runc and older engines refuse less than 6 MB) */
const MIN_MEMORY = 6 * 1024 ** 2;

export function parseMemory(text: string): number {
  const size = parseBytes(text);
  if (size >= MIN_MEMORY) return size;
  throw new InvalidValue("Expected at least 6m.");
}

export function parseCpus(text: string): number {
  const cpus = Number(text);
  if (/^\d+(?:\.\d+)?$/.test(text) && cpus >= 0.01 && cpus <= 10_000) return cpus;
  throw new InvalidValue("Expected a number of processors, e.g. 1.5.");
}

/** Returns ms. */
export function parseMinutes(text: string): number {
  return countFrom(1, 24 * 60 * 1000)(text) * 60_000;
}

/** The ulimits that runc knows (docker/go-units) */
const ULIMITS = new Set(
  "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split(" "),
);

/** Checks `NAME=SOFT[:HARD]`; -1 means unlimited. */
export function parseUlimit(text: string): string {
  const [, name = "", soft = "", hard = soft] = /^([a-z]+)=(-1|\d{1,18})(?::(-1|\d{1,18}))?$/.exec(text) ?? [];
  if (!ULIMITS.has(name)) throw new InvalidValue("Expected NAME=SOFT[:HARD], e.g. nofile=1024:2048.");
  const isAbove = hard !== "-1" && (soft === "-1" || BigInt(soft) > BigInt(hard));
  if (isAbove) throw new InvalidValue("Expected a soft limit that is not above the hard one.");
  return text;
}

/** Checks a path in the hierarchy of cgroups, or a slice of systemd. */
export function parseCgroupParent(text: string): string {
  const parts = text.replace(/^\//, "").split("/");
  const isSlice = !text.includes("/") && text.endsWith(".slice");
  const isPath = text.startsWith("/") && parts.every((part) => /^[\w.:@-]+$/.test(part) && !/^\.\.?$/.test(part));
  if (isPath || (isSlice && /^[\w:.@-]+$/.test(text))) return text;
  throw new InvalidValue(
    "Expected the path of a cgroup, e.g. /builds/team-a, or a slice of systemd, e.g. builds.slice.",
  );
}

const FETCHED = new Set(["http:", "https:"]);

/**
 * Checks a prefix of addresses. It must have a slash after the host: `https://github.com` is also a prefix of
 * `https://github.com.example.com/`.
 */
export function parseSource(text: string): string {
  const isWhole = URL.canParse(text) && new URL(text).href === text;
  const { protocol, username, search, hash } = isWhole ? new URL(text) : new URL("none:");
  if (isWhole && FETCHED.has(protocol) && username === "" && search === "" && hash === "") return text;
  throw new InvalidValue("Expected a prefix of addresses, with a path, e.g. https://github.com/example/.");
}

export function parseNetwork(text: string): "default" | "none" {
  if (text === "default" || text === "none") return text;
  throw new InvalidValue("Expected default or none.");
}

/** Maximum bytes of a path in `sockaddr_un`, without the final NUL */
const MAX_SOCKET_PATH = 107;

/** Checks the path of a tenant's socket. */
export function checkSocket(text: string): string {
  const isPlain =
    isAbsolute(text) &&
    text
      .split("/")
      .slice(1)
      .every((part) => !["", ".", ".."].includes(part));
  if (!isPlain || text.includes("\0")) {
    throw new InvalidValue("Expected an absolute path without . and .., e.g. /run/guard/team-a/docker.sock.");
  }
  const length = Buffer.byteLength(text);
  if (length <= MAX_SOCKET_PATH) return text;
  throw new InvalidValue(
    `Expected a path of at most ${MAX_SOCKET_PATH} bytes, the kernel's limit for a socket; this one has ${length}.`,
  );
}
