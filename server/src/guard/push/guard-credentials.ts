import { credentialsInFile, TOKEN_USER } from "docker-over-ssh/builds";
import type { Credentials } from "../build-request.ts";
import { Refusal } from "../refusal.ts";
import type { Tenant } from "../tenant.ts";

/**
 * Returns the guard's credentials for a tenant and a registry, if any. Reads the file each time. The guard sends them only to the registry, never to the tenant
 * or the engine.
 *
 * @throws Refusal 500 `push.credentials` if they cannot be read. The tenant's own credentials do not replace them
 */
export async function guardCredentials(
  { registryConfig }: Tenant,
  host: string,
  env: NodeJS.ProcessEnv,
): Promise<Credentials | undefined> {
  if (registryConfig === undefined) return undefined;
  try {
    const found = await credentialsInFile(registryConfig, host, env);
    if (found === undefined) return undefined;
    const { username, password } = found;
    return username === TOKEN_USER ? { username: "", password: "", identityToken: password } : { username, password };
  } catch (error) {
    // The reason is only for the operator, because it names files of the host.
    throw new Refusal("push.credentials", `the guard cannot read its credentials for ${host}: ask its operator`, {
      statusCode: 500,
      cause: error,
    });
  }
}
