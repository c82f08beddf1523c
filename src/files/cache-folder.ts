import { userInfo } from "node:os";
import { isAbsolute, join } from "node:path";

/**
 * This tool's folder in the user's cache, as the XDG Base Directory Specification has it: a relative path in XDG_CACHE_HOME is ignored.
 * Where HOME says nothing, it is the home folder that the system knows of this user. Undefined where none is known.
 */
export function cacheFolder(env: NodeJS.ProcessEnv): string | undefined {
  const { XDG_CACHE_HOME: cache = "" } = env;
  if (isAbsolute(cache)) return join(cache, "docker-over-ssh");
  const home = homeFolder(env);
  return home && join(home, ".cache", "docker-over-ssh");
}

function homeFolder({ HOME = "" }: NodeJS.ProcessEnv): string | undefined {
  if (isAbsolute(HOME)) return HOME;
  try {
    const { homedir } = userInfo();
    return isAbsolute(homedir) ? homedir : undefined;
  } catch {
    return undefined; // a user of whom the system knows nothing but a number
  }
}

/** The cache folder in messages. */
export const CACHE_FOLDER = "the cache folder (docker-over-ssh in XDG_CACHE_HOME, by default in ~/.cache)";
