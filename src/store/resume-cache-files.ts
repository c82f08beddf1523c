import type { Stats } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { isLeftover, isRunId } from "../run/run-id.ts";
import { isOwn } from "../files/own-folder.ts";
import type { Digest } from "../image/digest.ts";

/** `DIGEST` where nobody is at it, `DIGEST.RUN` while a run is. */
const NAME = /^([0-9a-f]{64})(?:\.(.+))?$/;

/** Bytes of the blocks that `stat` counts in, whatever the file system's are. */
const STAT_BLOCK = 512;

/** What there is of a blob. */
export interface CachedFile {
  path: string;
  digest: Digest;
  /** Nobody is at it: it was let go of, or its run is gone. */
  isFree: boolean;
  size: number;
  /** Bytes that it takes on the disk: fewer than `size` where it has holes. */
  allocated: number;
  /** ms since the epoch. */
  at: number;
}

/** This user's own files: anything else is left alone. */
export async function resumeCacheFiles(folder: string): Promise<CachedFile[]> {
  const files: CachedFile[] = [];
  for (const name of await readdir(folder).catch(() => [])) {
    const [, hex, run] = NAME.exec(name) ?? [];
    if (hex === undefined || (run !== undefined && !isRunId(run))) continue;
    const path = join(folder, name);
    const found = await ownFile(path);
    if (found === undefined) continue;
    const isFree = run === undefined || isLeftover([run]);
    files.push({
      path,
      digest: `sha256:${hex}`,
      isFree,
      size: found.size,
      allocated: found.blocks * STAT_BLOCK,
      at: found.mtimeMs,
    });
  }
  return files;
}

/** Undefined for what is no file, or another user's. A link is not followed. */
export async function ownFile(path: string): Promise<Pick<Stats, "size" | "blocks" | "mtimeMs"> | undefined> {
  const found = await lstat(path).catch(() => undefined);
  return found?.isFile() && isOwn(found) ? found : undefined;
}
