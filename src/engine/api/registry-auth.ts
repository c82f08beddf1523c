import { TOKEN_USER, type Credentials } from "../credentials.ts";

/** Converts credentials for a registry to the form that the engine accepts (moby, `api/types/registry`, AuthConfig). */
export function registryAuth(registry: string, { username, password }: Credentials): object {
  return username === TOKEN_USER
    ? { identitytoken: password, serveraddress: registry }
    : { username, password, serveraddress: registry };
}
