import { credentialsInFile } from "docker-over-ssh/builds";
import type { Credentials } from "../build-request.ts";
import { Refusal } from "../refusal.ts";
import type { Tenant } from "../tenant.ts";

/** Stands in a docker config for the user of an identity token (docker-credential-helpers). */
const TOKEN_USER = "<token>";

/**
 * Returns the credentials that the guard holds for a tenant and a registry; undefined for none. The file is read each time. They go to the registry,
 * and neither to the tenant nor to the engine.
 *
 * @throws Refusal 500 `push.credentials`: the tenant's own credentials do not take the place of ones that cannot be read
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
