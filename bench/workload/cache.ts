import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { exclusively } from "../../test/testbed/packages.ts";

/** A cache outside of the repository, about 5 GB, which all later runs use. */
export const cacheFolder = join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "docker-over-ssh-bench");

/**
 * Returns the folder that `make` has filled for this recipe, now or in an earlier run.
 * @param recipe everything that determines the content. Each recipe has its own folder
 */
export async function cached(name: string, recipe: unknown, make: (folder: string) => Promise<void>): Promise<string> {
  const hash = createHash("sha256").update(JSON.stringify(recipe)).digest("hex").slice(0, 12);
  const folder = join(cacheFolder, `${name}-${hash}`);
  if (existsSync(folder)) return folder;
  await exclusively("bench", async () => {
    if (existsSync(folder)) return;
    const part = join(cacheFolder, "part");
    rmSync(part, { recursive: true, force: true }); // a killed run may have left it
    mkdirSync(part, { recursive: true });
    await make(part);
    // The same workload from another recipe.
    for (const other of readdirSync(cacheFolder).filter((entry) => isOf(entry, name))) {
      rmSync(join(cacheFolder, other), { recursive: true });
    }
    renameSync(part, folder);
  });
  return folder;
}

const isOf = (entry: string, name: string): boolean => /^(.*)-[0-9a-f]{12}$/.exec(entry)?.[1] === name;
