import { join } from "node:path";
import { DEFAULT_CONTEXT, readContext, readCurrentContext } from "./docker-context.ts";
import { defaultHost, type EngineEndpoint, parseHost, type TlsMaterial, wantsTls } from "./endpoint.ts";
import { readTlsFiles } from "./tls-files.ts";

export interface EngineChoice {
  /** The engine that `-H` or `DOCKER_HOST` names, from {@link namedEndpoint}. If undefined, the docker context decides. */
  named?: EngineEndpoint | undefined;
  env: NodeJS.ProcessEnv;
  homedir: string;
  /** Decides the default: a named pipe on Windows, a socket elsewhere. */
  platform?: NodeJS.Platform;
}

/**
 * Chooses the engine as the docker CLI does (docker/cli `resolveContextName` and `resolveDefaultDockerEndpoint`): the named one; the
 * context that `DOCKER_CONTEXT` names; `currentContext` of `config.json`; the default socket. `DOCKER_TLS_VERIFY`, `DOCKER_TLS` and
 * `DOCKER_CERT_PATH` apply to a named engine and to the default one; a context has its own TLS settings. Reads files; connects to
 * nothing.
 *
 * @throws Failure `usage` for an unknown context; `engine-unreachable` for unusable files
 */
export async function chooseEndpoint({
  named,
  env,
  homedir,
  platform = process.platform,
}: EngineChoice): Promise<EngineEndpoint> {
  const configDir = env["DOCKER_CONFIG"] || join(homedir, ".docker");
  if (named !== undefined) return await withTls(named, configDir, env);
  const chosen = env["DOCKER_CONTEXT"];
  const name = chosen || (await readCurrentContext(configDir)) || DEFAULT_CONTEXT;
  if (name === DEFAULT_CONTEXT) {
    return await withTls(parseHost(defaultHost(env, platform), "context default"), configDir, env);
  }
  return await readContext(
    configDir,
    name,
    chosen ? "DOCKER_CONTEXT" : `currentContext of ${join(configDir, "config.json")}`,
  );
}

/** Adds the TLS material that the environment names. */
async function withTls(endpoint: EngineEndpoint, configDir: string, env: NodeJS.ProcessEnv): Promise<EngineEndpoint> {
  const { address } = endpoint;
  // The CLI reads the files for a socket as well, and fails without them; there is no TLS on a socket.
  if (!wantsTls(env) || address.protocol !== "tcp") return endpoint;
  const tls = await tlsFromEnvironment(configDir, env);
  if (tls === undefined || endpoint.host.startsWith("http://")) return endpoint;
  return { ...endpoint, address: { ...address, tls } };
}

async function tlsFromEnvironment(configDir: string, env: NodeJS.ProcessEnv): Promise<TlsMaterial | undefined> {
  const verify = Boolean(env["DOCKER_TLS_VERIFY"]);
  const source = verify ? "DOCKER_TLS_VERIFY" : "DOCKER_TLS";
  return await readTlsFiles(env["DOCKER_CERT_PATH"] || configDir, { requireCa: true, verify, source });
}
