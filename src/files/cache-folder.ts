import { userInfo } from "node:os";
import { isAbsolute, join } from "node:path";

/**
 * Returns this program's folder in the user's cache (XDG Base Directory Specification: a relative path in XDG_CACHE_HOME is ignored). If
 * HOME is not set, uses the home folder in the system's user database. Returns undefined if neither is known.
 */
export function cacheFolder(env: NodeJS.ProcessEnv): string | undefined {
  const { XDG_CACHE_HOME: cache = "" } = env;
  if (isAbsolute(cache)) return join(cache, "docker-over-ssh");
  const home = homeFolder(env);
  return home && join(home, ".cache", "docker-over-ssh");
}

/** Returns the home folder: HOME, or the one in the user database. */
export function homeFolder({ HOME = "" }: NodeJS.ProcessEnv): string | undefined {
  if (isAbsolute(HOME)) return HOME;
  try {
    const { homedir } = userInfo();
    return isAbsolute(homedir) ? homedir : undefined;
  } catch {
    return undefined; // the user ID is not in the user database
  }
}

/** The cache folder in messages. */
export const CACHE_FOLDER = "the cache folder (docker-over-ssh in XDG_CACHE_HOME, by default in ~/.cache)";
