import { Failure } from "../output/errors.ts";
import type { RegistryChoice } from "./temporary-registry.ts";

/** The environment variables that choose a registry. A test compares the examples with these names. */
export const REGISTRY_PORT_VARIABLE = "LOCAL_DOCKER_REGISTRY_PORT";
export const NGROK_VARIABLE = "DOCKER_REGISTRY_NGROK";

/**
 * Chooses the registry that serves a push: `--registry embedded|container|HOST:PORT`, else LOCAL_DOCKER_REGISTRY_PORT, else the embedded
 * registry. Throws a `usage` Failure for any other value.
 */
export function chooseRegistry(
  option: string | undefined,
  env: NodeJS.ProcessEnv,
): RegistryChoice | { kind: "embedded" } {
  const port = env[REGISTRY_PORT_VARIABLE] || undefined;
  const ngrok = env[NGROK_VARIABLE] || undefined;
  const kind = option === "container" || option === "embedded" ? option : undefined;
  if (kind !== undefined || (option === undefined && port === undefined)) {
    if (ngrok === undefined) return { kind: kind ?? "embedded" };
    throw new Failure("usage", `${NGROK_VARIABLE} is set, but there is no registry for it to expose`, {
      expected: `${REGISTRY_PORT_VARIABLE}=PORT, or --registry HOST:PORT`,
      hint: `Start a registry and name its port, or unset ${NGROK_VARIABLE}.`,
    });
  }
  const address =
    option === undefined
      ? parseAddress(`127.0.0.1:${port}`, `${REGISTRY_PORT_VARIABLE}=${port}`)
      : parseAddress(option, `--registry ${option}`);
  return { kind: "external", ...address, ...(ngrok === undefined ? {} : { ngrok: ngrok === "true" ? true : ngrok }) };
}

function parseAddress(address: string, source: string): { host: string; port: number } {
  const [, host, port] = /^([A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\]):([0-9]{1,5})$/.exec(address) ?? [];
  if (host !== undefined && Number(port) > 0 && Number(port) < 65_536) return { host, port: Number(port) };
  throw new Failure("usage", `${source} names no registry`, {
    expected: source.startsWith("--") ? "embedded, container, or HOST:PORT" : "a port number",
    hint: "For instance --registry localhost:5000.",
  });
}
