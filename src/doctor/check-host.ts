import { bytes, oneLine } from "../output/describe.ts";
import { describeExit } from "../child-process/exit.ts";
import { Failure } from "../output/errors.ts";
import type { Finding } from "../output/finding-lines.ts";
import type { RemoteProgram } from "../output/remote-programs.ts";
import type { HostConnection } from "../request.ts";
import type { Context } from "../transfer.ts";
import { VERSION } from "../version.ts";
import { findingCreators, FREE_SPACE_WARNING } from "./create-findings.ts";
import { inspectHost, type HostFacts } from "./inspect-host.ts";

const { ok, warning, missing } = findingCreators("there");

/** Checks a host, without changing anything there. */
export async function* checkHost(connection: HostConnection, context: Context): AsyncGenerator<Finding> {
  let host: HostFacts;
  try {
    host = await inspectHost(connection, context);
  } catch (error) {
    context.signal.throwIfAborted();
    if (!(error instanceof Failure)) throw error;
    yield missing("login", error.message, error.hint ?? "Log in by hand to see what it prints.", error.code);
    return;
  }
  yield checkLogin(host);
  yield checkInstalled(host, connection);
  yield checkNode(host);
  yield checkEngine(host, connection);
  yield checkCache(host);
  yield* checkDisk(host);
  yield checkProgram(host, connection);
}

const factOf = ({ facts }: HostFacts, kind: string): string | undefined => facts.get(kind)?.[0];

/** Splits a version from the path after it. */
function versionAndPath(fact: string): { version: string; path: string } {
  const start = fact.indexOf("/");
  return { version: fact.slice(0, start).trim(), path: fact.slice(start) };
}

function checkLogin(host: HostFacts): Finding {
  const shell = factOf(host, "shell");
  const text = `as ${factOf(host, "user")}, ${factOf(host, "system")}${shell ? `, ${shell}` : ""}`;
  if (host.noise === "") return ok("login", text);
  return warning(
    "login",
    `${text}; it prints before any command runs: ${oneLine(host.noise).slice(0, 80)}`,
    "Let the shell's start-up files (~/.bashrc) print only where `[ -t 1 ]` is true: a command of your own may treat it as data.",
  );
}

function checkInstalled(host: HostFacts, { given }: HostConnection): Finding {
  const fact = factOf(host, "installed");
  if (fact === undefined)
    return ok("docker-over-ssh", "not installed there; this is optional (`docker-over-ssh setup` installs it)");
  const { version, path } = versionAndPath(fact);
  if (version === VERSION) return ok("docker-over-ssh", `${version}, ${path}`);
  return warning(
    "docker-over-ssh",
    version === "" ? `${path} does not report its version` : `${version}, ${path}; this side has ${VERSION}`,
    `Run \`docker-over-ssh setup ${given}\`, or update it there.`,
  );
}

function checkNode(host: HostFacts): Finding {
  const nodes = (host.facts.get("node") ?? []).map(versionAndPath);
  if (nodes.length > 0)
    return ok("node", nodes.map(({ version, path }) => `${version || "unusable"}, ${path}`).join("; "));
  return ok("node", "none; without it, docker-over-ssh runs in a container there, or the engine alone is used");
}

function checkEngine(host: HostFacts, connection: HostConnection): Finding {
  const found = factOf(host, "engine");
  if (found !== undefined) {
    const { version, path } = versionAndPath(found);
    return ok("engine", `${version}, by ${path}${connection.sudo ? " with sudo" : ""}`);
  }
  const reason = factOf(host, "no-engine");
  if (reason === undefined) {
    return missing(
      "engine",
      "neither docker nor podman was found there",
      `Install Docker there (https://docs.docker.com/engine/install/), or name its folder with --far-path.`,
      "remote-command-not-found",
    );
  }
  return missing("engine", reason, engineFix(host, reason), "engine-unreachable");
}

function engineFix(host: HostFacts, reason: string): string {
  const hasSudo = host.facts.has("sudo");
  const withSudo = hasSudo ? "Add --sudo, which works without a password there. Or: " : "";
  if (/permission denied/i.test(reason))
    return `${withSudo}\`sudo usermod -aG docker ${factOf(host, "user")}\` there, then log in again; or use a rootless engine${hasSudo ? "" : ", or --sudo"}.`;
  return `${withSudo}Start the engine there: \`sudo systemctl start docker\`.`;
}

function checkCache(host: HostFacts): Finding {
  const unsafe = factOf(host, "unsafe");
  const { size, path } = diskOf(factOf(host, "cache"));
  if (unsafe === undefined) return ok("cache", `${path}${size === undefined ? "" : `; ${bytes(size)} free`}`);
  return warning(
    "cache",
    `${unsafe}: nothing is cached there, and layers are sent whole`,
    `Remove ${path} there, or correct its owner and mode.`,
  );
}

function* checkDisk(host: HostFacts): Generator<Finding> {
  const { size, path } = diskOf(factOf(host, "data"));
  if (size === undefined) return;
  const text = `${bytes(size)} free in ${path}`;
  yield size < FREE_SPACE_WARNING
    ? warning("disk", text, "Free some space there: `docker system prune`.")
    : ok("disk", text);
}

function diskOf(fact = ""): { size: number | undefined; path: string } {
  const [, kib, path = ""] = /^(\d{1,12}) (.*)$/.exec(fact) ?? [];
  return { size: kib === undefined ? undefined : Number(kib) * 1024, path };
}

const NAMES: Record<RemoteProgram, string> = {
  installed: "the docker-over-ssh that is installed there",
  node: "the Node there, to which this docker-over-ssh is sent",
  "node-sent": "a Node that is sent there",
  container: "a container there, in which this docker-over-ssh runs",
  engine: "the engine alone, to which layers are sent whole",
};

/** Reports the program that a transfer would use, and why it would not use a better one. */
function checkProgram(host: HostFacts, { image, given, asksForNode: isAuto }: HostConnection): Finding {
  const { chosen, ended, skipped } = host;
  const wanted = factOf(host, "image");
  const why = skipped
    .filter(({ program }) => program !== "container" || wanted === undefined)
    .map(({ program, reason }) => `${program}: ${reason}`);
  const because = why.length === 0 ? "" : ` (${why.join("; ")})`;
  if (ended !== undefined) {
    return missing(
      "program",
      `${ended.program} ${describeExit(ended.exit)}: ${oneLine(ended.lastLines) || ended.what}`,
      `Run \`docker-over-ssh setup ${given}\`, or skip it with --far node.`,
      "remote-not-a-tunnel",
    );
  }
  if (wanted === "there") return ok("program", `${NAMES.container}, of ${image.given}${because}`);
  if (wanted === "to-pull" && (chosen === undefined || chosen.program === "engine")) {
    return warning(
      "program",
      `${NAMES.container}, if the engine there can pull ${image.given}; otherwise ${chosen === undefined ? "none" : NAMES.engine}${because}`,
      `Have the image pulled once: \`docker pull ${image.given}\` there; or install Node there.`,
    );
  }
  if (chosen === undefined) {
    return missing(
      "program",
      `no program can be used there${because}`,
      isAuto ? "Install Docker there." : "Install Docker there; or omit --far, and unset DOCKER_OVER_SSH_FAR.",
      "remote-command-not-found",
    );
  }
  if (chosen.program !== "engine") return ok("program", `${NAMES[chosen.program]}: ${chosen.what}${because}`);
  return warning(
    "program",
    `${NAMES.engine}${because}`,
    "Install Node 20.19 or later there, or send it once with --far node-sent.",
  );
}
