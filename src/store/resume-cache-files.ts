import type { Stats } from "node:fs";
import { lstat, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { allocatedBytes } from "../files/allocated-bytes.ts";
import { isOwn } from "../files/private-folder.ts";
import type { Digest } from "../image/digest.ts";
import { isLeftover, isRunId } from "../run/run-id.ts";

/** The name of the resume cache in the cache folder. */
export const RESUME_CACHE_FOLDER = "kept";

/** `DIGEST` for a file that no run uses, `DIGEST.RUN-ID` for a file in use. */
const NAME = /^([0-9a-f]{64})(?:\.(.+))?$/;

/** A file of the resume cache. */
export interface CachedFile {
  path: string;
  digest: Digest;
  /** True if no living run uses the file. */
  isFree: boolean;
  /** Bytes. */
  size: number;
  /** Bytes on the disk: fewer than `size` if the file has holes. */
  allocated: number;
  /** ms since the epoch. */
  modifiedAt: number;
}

export interface CacheLimits {
  /** Bytes of all files that no run uses. */
  size: number;
  /** ms since a file was last written. */
  age: number;
}

/** Lists the files of the resume cache that belong to this user. */
export async function resumeCacheFiles(folder: string): Promise<CachedFile[]> {
  const files: CachedFile[] = [];
  for (const name of await readdir(folder).catch(() => [])) {
    const [, hex, runId] = NAME.exec(name) ?? [];
    if (hex === undefined || (runId !== undefined && !isRunId(runId))) continue;
    const path = join(folder, name);
    const found = await ownFile(path);
    if (found === undefined) continue;
    const isFree = runId === undefined || isLeftover([runId]);
    files.push({
      path,
      digest: `sha256:${hex}`,
      isFree,
      size: found.size,
      allocated: allocatedBytes(found),
      modifiedAt: found.mtimeMs,
    });
  }
  return files;
}

/** Lists the files of one blob, the longest first. */
export async function filesOfBlob(folder: string, digest: Digest): Promise<CachedFile[]> {
  return (await resumeCacheFiles(folder))
    .filter((file) => file.digest === digest)
    .toSorted((one, other) => other.size - one.size);
}

/** Lists the files that no run uses, the oldest first. */
export async function freeFiles(folder: string): Promise<CachedFile[]> {
  return (await resumeCacheFiles(folder))
    .filter(({ isFree }) => isFree)
    .toSorted((one, other) => one.modifiedAt - other.modifiedAt);
}

/** Removes the files that no run uses and that exceed the limits, the oldest first. */
export async function trimCache(folder: string, limits: CacheLimits): Promise<void> {
  let size = 0;
  for (const file of (await freeFiles(folder)).toReversed()) {
    size += file.size;
    if (Date.now() - file.modifiedAt <= limits.age && size <= limits.size) continue;
    size -= file.size;
    await rm(file.path, { force: true }).catch(() => {});
  }
}

/** Returns the stats of a regular file of this user; undefined for anything else. Follows no links. */
export async function ownFile(path: string): Promise<Pick<Stats, "size" | "blocks" | "mtimeMs"> | undefined> {
  const found = await lstat(path).catch(() => undefined);
  return found?.isFile() && isOwn(found) ? found : undefined;
}
