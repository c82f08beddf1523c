import { lstat } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname } from "node:path";
import { isatty } from "node:tty";
import { describeEndpoint, type EngineEndpoint } from "../engine/connect/endpoint.ts";
import { chooseEndpoint } from "../engine/connect/choose-endpoint.ts";
import { openEngine } from "../engine/open/open-engine.ts";
import { CACHE_FOLDER, cacheFolder } from "../files/cache-folder.ts";
import { freeBytes } from "../files/free-bytes.ts";
import { openPrivateFolder } from "../files/private-folder.ts";
import { formatPlatform } from "../image/platform.ts";
import { bytes } from "../output/describe.ts";
import { Failure, messageOf } from "../output/errors.ts";
import type { Finding } from "../output/finding-lines.ts";
import { CODECS } from "../packing/codecs.ts";
import type { Context } from "../transfer.ts";
import { findingCreators, FREE_SPACE_WARNING } from "./create-findings.ts";

const { ok, warning, missing } = findingCreators("here");

/** Checks this side, without changing anything. */
export async function* checkThisSide(named: EngineEndpoint | undefined, context: Context): AsyncGenerator<Finding> {
  yield ok("node", `${process.version}, ${process.execPath}`);
  yield checkCodecs();
  yield await checkEngine(named, context);
  yield await checkCache(context);
  yield checkTerminal(context);
}

function checkCodecs(): Finding {
  const names = CODECS.map(({ name }) => name);
  if (names.includes("zstd")) return ok("codecs", names.join(", "));
  return warning(
    "codecs",
    `${names.join(", ")}; this Node has no zstd, which compresses better in the same time`,
    "Run docker-over-ssh with Node 22.15 or later.",
  );
}

async function checkEngine(named: EngineEndpoint | undefined, { env, signal }: Context): Promise<Finding> {
  try {
    const endpoint = await chooseEndpoint({ named, env, homedir: homedir() });
    await using engine = await openEngine(endpoint, signal);
    const { version, apiVersion, store, platform, dataFolder } = await engine.info();
    const free = dataFolder === undefined ? undefined : await freeBytes(dataFolder, { forRoot: true });
    const text = `${store === "podman" ? "Podman" : "Docker"} ${version} (API ${apiVersion}, ${store === "graphdriver" ? "classic" : store} store, ${formatPlatform(platform)}) at ${describeEndpoint(endpoint)}`;
    const room = free === undefined ? "" : `; ${bytes(free.bytes)} free in ${dataFolder}`;
    if (free !== undefined && free.bytes < FREE_SPACE_WARNING)
      return warning("engine", text + room, "Free some space, for instance with `docker system prune`.");
    return ok("engine", text + room);
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof Failure)) throw error;
    return missing(
      "engine",
      error.message,
      error.hint ?? "Start Docker or Podman; images in files and folders need no engine.",
      error.code,
    );
  }
}

/** Checks the cache folder; if it does not exist yet, the nearest parent that does. */
async function checkCache({ env }: Context): Promise<Finding> {
  const path = cacheFolder(env);
  if (path === undefined) {
    return missing(
      "cache",
      `there is no folder for ${CACHE_FOLDER}`,
      "Set HOME or XDG_CACHE_HOME to a folder.",
      "no-space",
    );
  }
  try {
    const exists = (await lstat(path).catch(() => undefined)) !== undefined;
    if (exists) openPrivateFolder(path, { make: false });
    const free = await freeBytes(exists ? path : await existing(dirname(path)));
    const text = `${path}${exists ? "" : ", which the first transfer creates"}${free === undefined ? "" : `; ${bytes(free.bytes)} free`}`;
    if (free === undefined || free.bytes >= FREE_SPACE_WARNING) return ok("cache", text);
    return warning("cache", text, "Run `docker-over-ssh prune`, or set XDG_CACHE_HOME to a folder with more room.");
  } catch (error) {
    return missing(
      "cache",
      `the cache folder cannot be used: ${messageOf(error)}`,
      `Run \`chown "$(id -u)" ${path}; chmod 700 ${path}\`, or set XDG_CACHE_HOME to another folder.`,
      "no-space",
    );
  }
}

/** Returns the path, or its nearest parent that exists. */
async function existing(path: string): Promise<string> {
  const found = await lstat(path).catch(() => undefined);
  return found !== undefined || dirname(path) === path ? path : await existing(dirname(path));
}

function checkTerminal({ env }: Context): Finding {
  if (!isatty(2)) return ok("terminal", "stderr is not a terminal: progress is a line every few seconds");
  if (env["TERM"] === "dumb" || (env["CI"] ?? "") !== "")
    return ok(
      "terminal",
      `${env["TERM"] === "dumb" ? "TERM is dumb" : "CI is set"}: progress is a line every few seconds`,
    );
  return ok("terminal", `${process.stderr.columns} columns`);
}
