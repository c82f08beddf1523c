import { isAtLeast } from "../compare-versions.ts";
import type { DockerApi } from "../api/docker-api.ts";

/** The API version that limits the cache by `max-used-space`. */
const MAX_USED = "1.48";

/**
 * Removes what was used least recently of the builder's cache, down to `keep` bytes. Older engines keep at least that (`keep-storage`) of what
 * no build uses, which comes to the same.
 */
export async function pruneBuildCache(api: DockerApi, keep: number): Promise<number> {
  const limit = isAtLeast(api.version ?? "", MAX_USED)
    ? { "reserved-space": keep, "max-used-space": keep }
    : { "keep-storage": keep };
  return reclaimed(await api.json("POST", "/build/prune", { query: { all: true, ...limit }, timeout: "work" }));
}

export async function removeDangling(api: DockerApi, label: string): Promise<number> {
  const query = { filters: { dangling: ["true"], label: [label] } };
  return reclaimed(await api.json("POST", "/images/prune", { query, timeout: "work" }));
}

function reclaimed(answer: unknown): number {
  return (answer as { SpaceReclaimed?: number } | undefined)?.SpaceReclaimed ?? 0;
}
