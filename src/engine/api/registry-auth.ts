import type { Credentials } from "../engine-images.ts";

/** The user name of an identity token in a docker config (docker/docker-credential-helpers). */
const TOKEN = "<token>";

/** Converts credentials for a registry to the form that the engine accepts (moby, `api/types/registry`, AuthConfig). */
export function registryAuth(registry: string, { username, password }: Credentials): object {
  return username === TOKEN
    ? { identitytoken: password, serveraddress: registry }
    : { username, password, serveraddress: registry };
}
