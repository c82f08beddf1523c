import type { BuildRequest, Credentials } from "../build-request.ts";
import { authHeader } from "../engine/auth-header.ts";

/** Returns `X-Registry-Auth` for the engine. */
export function registryAuthHeader(
  { username, password, identityToken, registryToken }: Credentials,
  domain: string,
): string {
  const config = {
    username,
    password,
    ...(identityToken !== undefined && { identitytoken: identityToken }),
    ...(registryToken !== undefined && { registrytoken: registryToken }),
    serveraddress: domain === "docker.io" ? "https://index.docker.io/v1/" : domain,
  };
  return authHeader(config);
}

/** Finds the request's credentials for a registry, which `X-Registry-Config` names with a scheme, with a path, or with neither. */
export function requestCredentials({ credentials }: BuildRequest, host: string): Credentials | undefined {
  const key = (name: string): string => {
    const bare = name.replace(/^https?:\/\//, "").split("/")[0] ?? "";
    return bare === "index.docker.io" || bare === "registry-1.docker.io" ? "docker.io" : bare;
  };
  return Object.entries(credentials).find(([name]) => key(name) === key(host))?.[1];
}
