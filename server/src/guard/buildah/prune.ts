import type { Caller } from "../caller.ts";
import type { OpenHome } from "./homes.ts";
import { countImages, run, type BuildahDependencies } from "./dependencies.ts";
import { BuildahError, runInSandbox } from "./run-buildah.ts";

/** Removes fetched bases and the images of single steps, which are the cache. Measures the reclaimed space on the disk. */
export async function pruneCache(
  dependencies: BuildahDependencies,
  caller: Caller,
  home: OpenHome,
): Promise<{ caches: string[]; spaceReclaimed: number }> {
  const { signal } = caller;
  const before = await bytesOf(dependencies, home, signal);
  const stored = await dependencies.images.all(home, signal);
  const ownIds = new Set(stored.filter(({ isOwn }) => isOwn).map(({ id }) => id.replace("sha256:", "")));
  const text = await run(dependencies, home, ["images", "--all", "--no-trunc", "--json"], { signal });
  const listed = (text.trim() === "" ? [] : JSON.parse(text)) as { id: string }[] | null;
  const ids = new Set((listed ?? []).map(({ id }) => id.replace("sha256:", "")).filter((id) => !ownIds.has(id)));
  const caches: string[] = [];
  for (const id of ids) {
    if (await removed(dependencies, home, id, signal)) caches.push(`sha256:${id}`);
  }
  await countImages(dependencies, caller, home);
  return { caches, spaceReclaimed: Math.max(0, before - (await bytesOf(dependencies, home, signal))) };
}

/** Removes an image. Returns false for an image that a running build uses. */
async function removed(
  dependencies: BuildahDependencies,
  home: OpenHome,
  id: string,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    await run(dependencies, home, ["rmi", id], { signal });
    return true;
  } catch (error) {
    if (error instanceof BuildahError) return false;
    throw error;
  }
}

async function bytesOf({ env }: BuildahDependencies, home: OpenHome, signal: AbortSignal): Promise<number> {
  const output = await runInSandbox(home, ["du", "-s", "-k", "/tenant/storage"], env, { signal });
  return (Number.parseInt(output, 10) || 0) * 1024;
}
