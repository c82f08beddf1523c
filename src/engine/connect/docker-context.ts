import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Failure, messageOf } from "../../output/errors.ts";
import { type EngineEndpoint, parseHost, PLAIN_PORT, TLS_PORT } from "./endpoint.ts";
import { readTlsFiles } from "./tls-files.ts";

/** The name that stands for no context: DOCKER_HOST or the default socket applies. It has no files. */
export const DEFAULT_CONTEXT = "default";

/**
 * Returns `currentContext` of the CLI's `config.json`; undefined if the file or the field does not exist.
 *
 * The docker CLI warns about a file that it cannot read and uses the default engine. This program fails: it must not send an image to an
 * engine that the user has not chosen.
 *
 * @throws Failure `engine-unreachable`
 */
export async function readCurrentContext(configDir: string): Promise<string | undefined> {
  const path = join(configDir, "config.json");
  const config = await readJson(path, "Correct the file, or choose the engine with -H or DOCKER_HOST.");
  const name = isRecord(config) ? config["currentContext"] : undefined;
  return typeof name === "string" && name !== "" ? name : undefined;
}

/**
 * Reads the endpoint of a docker context from the CLI's context store (docker/cli `cli/context/store`): `contexts/meta/<SHA-256 of the
 * name>/meta.json` and `contexts/tls/<SHA-256 of the name>/docker/*.pem`.
 *
 * @param chosenBy the setting that contains the name, e.g. `DOCKER_CONTEXT`
 * @throws Failure `usage` when there is no such context; `engine-unreachable` when its files are unusable
 */
export async function readContext(configDir: string, name: string, chosenBy: string): Promise<EngineEndpoint> {
  const id = createHash("sha256").update(name).digest("hex");
  const path = join(configDir, "contexts", "meta", id, "meta.json");
  const source = `context ${name}`;
  const meta = await readJson(path, `Create the context again, or choose another with DOCKER_CONTEXT.`);
  if (meta === undefined) {
    throw new Failure("usage", `context "${name}" (${chosenBy}): context not found`, {
      expected: `a docker context of that name, in ${path}`,
      hint: "`docker context ls` lists them; choose one with DOCKER_CONTEXT or `docker context use`.",
    });
  }
  const endpoint = dockerEndpoint(meta);
  if (endpoint === undefined) {
    throw new Failure("engine-unreachable", `context "${name}" (${chosenBy}) names no Docker endpoint`, {
      expected: `Endpoints.docker.Host in ${path}`,
      hint: "Choose another context with DOCKER_CONTEXT, or an engine with -H or DOCKER_HOST.",
    });
  }
  const { host, skipVerify } = endpoint;
  if (/^(unix|npipe|ssh|http):/.test(host)) return parseHost(host, source);
  const folder = join(configDir, "contexts", "tls", id, "docker");
  const files = await readTlsFiles(folder, { requireCa: false, verify: !skipVerify, source });
  const tls = files ?? (skipVerify ? { verify: false } : undefined);
  return parseHost(withPort(host, tls === undefined ? PLAIN_PORT : TLS_PORT), source, tls);
}

/**
 * Adds the port to a host of a context. The CLI completes the host of -H and DOCKER_HOST, but not of a context, and cannot dial it without
 * a port.
 */
function withPort(host: string, port: number): string {
  return /^tcp:\/\/([^/:[]+|\[[^\]]*\])$/.test(host) ? `${host}:${port}` : host;
}

function dockerEndpoint(meta: unknown): { host: string; skipVerify: boolean } | undefined {
  const endpoints = isRecord(meta) ? meta["Endpoints"] : undefined;
  const docker = isRecord(endpoints) ? endpoints["docker"] : undefined;
  if (!isRecord(docker) || typeof docker["Host"] !== "string" || docker["Host"] === "") return undefined;
  return { host: docker["Host"], skipVerify: docker["SkipTLSVerify"] === true };
}

async function readJson(path: string, hint: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new Failure("engine-unreachable", `cannot read ${path}, which names the Docker engine: ${messageOf(error)}`, {
      expected: "a JSON file of the docker CLI that this user may read",
      hint,
      cause: error,
    });
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
