import type { Credentials } from "../engine/credentials.ts";
import { fileCredentials, helperFor, readAuthFile } from "./auth-file.ts";
import { askHelper, HELPER_TIMEOUT } from "./credential-helper.ts";
import { registryKey } from "./registry-host.ts";

/**
 * Returns the credentials for a registry from one docker config or its credential helpers; undefined if there are none. Reads the file each
 * time. Reads no other files, unlike {@link registryCredentials}.
 *
 * @param path the path of the docker config
 * @param host with or without port and scheme
 * @param env the environment of helpers
 * @throws UnreadableAuthFile, HelperFailure. Their messages show no credentials.
 */
export async function credentialsInFile(
  path: string,
  host: string,
  env: NodeJS.ProcessEnv,
): Promise<Credentials | undefined> {
  const file = await readAuthFile(path);
  if (file === undefined) return undefined;
  const key = registryKey(host);
  const helper = helperFor(file, key);
  return helper === undefined
    ? fileCredentials(file, key)
    : await askHelper(helper, key, { env, timeout: HELPER_TIMEOUT });
}
