import { credentialsInFile } from "docker-over-ssh/builds";
import type { Credentials } from "../build-request.ts";
import { Refusal } from "../refusal.ts";
import type { Tenant } from "../tenant.ts";

/** The user name in a docker config that marks an identity token (docker-credential-helpers) */
const TOKEN_USER = "<token>";

/**
 * Returns the credentials that the guard holds for a tenant and a registry, if any. Reads the file each time. They are sent to the registry, and neither to
 * the tenant nor to the engine.
 *
 * @throws Refusal 500 `push.credentials` if they cannot be read: the tenant's own credentials do not replace them
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
    // The reason names files of the host: it is for the operator.
    throw new Refusal("push.credentials", `the guard cannot read its credentials for ${host}: ask its operator`, {
      statusCode: 500,
      cause: error,
    });
  }
}
