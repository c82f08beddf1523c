import type { Credentials } from "../engine/engine-builds.ts";
import { fileCredentials, helperFor, readAuthFile } from "./auth-file.ts";
import { askHelper } from "./credential-helper.ts";
import { registryKey } from "./registry-host.ts";

/** ms that a helper may take. */
const HELPER_TIMEOUT = 60_000;

/**
 * Returns the credentials that one docker config has for a registry, or that its credential helpers have; undefined for none. The file is read
 * each time. No other place is looked at, unlike {@link registryCredentials}.
 *
 * @param path of the file
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
