import { lstat, mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { lifeOf, type RunId } from "./run-id.ts";

const PREFIX = "spool-";

/** Where what is on its way waits in files: the user's cache, as the XDG base directory specification has it. */
export function spoolParent(env: NodeJS.ProcessEnv): string {
  return join(env.XDG_CACHE_HOME || join(homedir(), ".cache"), "docker-over-ssh");
}

/**
 * Makes a folder that only this user can look into, whose name carries the run, and removes those that killed runs have left
 * in `parent`. The caller removes it.
 */
export async function makeSpoolFolder(run: RunId, parent: string): Promise<string> {
  await mkdir(parent, { recursive: true, mode: 0o700 });
  await removeDead(parent);
  return await mkdtemp(join(parent, `${PREFIX}${run}-`)); // mode 0700
}

/** Only what is this user's own: anybody may put a folder of that name into a shared /tmp. */
async function removeDead(parent: string): Promise<void> {
  const names = (await readdir(parent).catch(() => [])).filter((name) => name.startsWith(PREFIX));
  for (const name of names) {
    if (lifeOf(name.slice(PREFIX.length, name.lastIndexOf("-"))) !== "dead") continue;
    const path = join(parent, name);
    const found = await lstat(path).catch(() => undefined);
    if (!found?.isDirectory() || found.uid !== process.getuid?.()) continue;
    await rm(path, { recursive: true, force: true }).catch(() => {});
  }
}
