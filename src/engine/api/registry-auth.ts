import type { Credentials } from "../engine-images.ts";

/** Stands in a docker config for the user of an identity token (docker/docker-credential-helpers). */
const TOKEN = "<token>";

/** Returns credentials as the engine takes them for a registry (moby, `api/types/registry`, AuthConfig). */
export function registryAuth(registry: string, { username, password }: Credentials): object {
  return username === TOKEN
    ? { identitytoken: password, serveraddress: registry }
    : { username, password, serveraddress: registry };
}
