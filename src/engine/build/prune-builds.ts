import { isAtLeast } from "../compare-versions.ts";
import type { DockerApi } from "../api/docker-api.ts";
import { spaceReclaimed } from "../api/images.ts";

/** The first API version with `max-used-space`, which limits the cache. */
const MAX_USED = "1.48";

/**
 * Reduces the builder's cache to `keep` bytes; removes the least recently used records first. Older engines keep at least that many bytes
 * of unused records (`keep-storage`), with the same effect.
 */
export async function pruneBuildCache(api: DockerApi, keep: number): Promise<number> {
  const limit = isAtLeast(api.version ?? "", MAX_USED)
    ? { "reserved-space": keep, "max-used-space": keep }
    : { "keep-storage": keep };
  return spaceReclaimed(await api.json("POST", "/build/prune", { query: { all: true, ...limit }, timeout: "work" }));
}
