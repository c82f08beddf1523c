import { join } from "node:path";
import { DEFAULT_CONTEXT, readContext, readCurrentContext } from "./context.ts";
import { defaultSocket, type EngineEndpoint, parseHost, TLS_PORT, type TlsMaterial } from "./endpoint.ts";
import { readTlsFiles } from "./tls-files.ts";

export interface EngineChoice {
  /** The option `-H`, `--host`. */
  host?: string | undefined;
  env: NodeJS.ProcessEnv;
  homedir: string;
  /** Where there is no choice, Windows has a named pipe and others have a socket. */
  platform?: NodeJS.Platform;
}

/**
 * Chooses the engine as the docker CLI does (docker/cli `resolveContextName` and `resolveDefaultDockerEndpoint`):
 * `-H`; `DOCKER_HOST`; the context that `DOCKER_CONTEXT` names; `currentContext` of `config.json`; the default socket.
 * With `-H` and `DOCKER_HOST`, `DOCKER_TLS_VERIFY`, `DOCKER_TLS` and `DOCKER_CERT_PATH` say how TCP is spoken; a context says it itself.
 * Reads files; connects to nothing.
 *
 * @throws Failure `usage` for a malformed host and an unknown context; `engine-unreachable` for files that cannot be used.
 */
export async function chooseEndpoint({
  host,
  env,
  homedir,
  platform = process.platform,
}: EngineChoice): Promise<EngineEndpoint> {
  const configDir = env["DOCKER_CONFIG"] || join(homedir, ".docker");
  const fallback = (source: string) => defaultEndpoint("", source, configDir, env, platform);
  if (host !== undefined) return await defaultEndpoint(host, "-H", configDir, env, platform);
  if (env["DOCKER_HOST"]) return await defaultEndpoint(env["DOCKER_HOST"], "DOCKER_HOST", configDir, env, platform);

  const named = env["DOCKER_CONTEXT"];
  const name = named || (await readCurrentContext(configDir)) || DEFAULT_CONTEXT;
  if (name === DEFAULT_CONTEXT) return await fallback("context default");
  return await readContext(
    configDir,
    name,
    named ? "DOCKER_CONTEXT" : `currentContext of ${join(configDir, "config.json")}`,
  );
}

async function defaultEndpoint(
  host: string,
  source: string,
  configDir: string,
  env: NodeJS.ProcessEnv,
  platform: NodeJS.Platform,
): Promise<EngineEndpoint> {
  const useTls = Boolean(env["DOCKER_TLS_VERIFY"] || env["DOCKER_TLS"]); // any value but the empty one, `0` too
  const chosen = host.trim() || (useTls ? `tcp://localhost:${TLS_PORT}` : defaultSocket(platform));
  const endpoint = parseHost(chosen, source);
  // The CLI reads the files for a socket too, and fails without them; there is no TLS on a socket.
  if (!useTls || endpoint.address.protocol !== "tcp") return endpoint;
  return parseHost(chosen, source, await tlsFromEnvironment(configDir, env));
}

async function tlsFromEnvironment(configDir: string, env: NodeJS.ProcessEnv): Promise<TlsMaterial | undefined> {
  const verify = Boolean(env["DOCKER_TLS_VERIFY"]);
  const source = verify ? "DOCKER_TLS_VERIFY" : "DOCKER_TLS";
  return await readTlsFiles(env["DOCKER_CERT_PATH"] || configDir, { requireCa: true, verify, source });
}
