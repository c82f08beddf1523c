import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";

/** A folder for what is received, until it has been loaded. */
export interface Spool extends AsyncDisposable {
  /** A file of its own for a layer. */
  pathFor(name: string): string;
}

/** Opens a folder that only this user can look into, in the user's cache; it goes when disposed of. */
export async function openSpool(env: NodeJS.ProcessEnv): Promise<Spool> {
  const cache = env.XDG_CACHE_HOME || join(homedir(), ".cache");
  const parent = join(cache, "docker-over-ssh");
  await mkdir(parent, { recursive: true, mode: 0o700 });
  const folder = await mkdtemp(join(parent, "spool-"));
  return {
    pathFor: (name) => join(folder, name),
    [Symbol.asyncDispose]: async () => await rm(folder, { recursive: true, force: true }),
  };
}
