import { rm, statfs, writeFile } from "node:fs/promises";
import { hexOf, type Digest } from "../image/digest.ts";
import type { SizeLimitShare, SizeLimit } from "../image/layer/size-limit.ts";
import type { ResumeCache } from "../store/resume-cache.ts";
import type { LazySpool } from "../run/spool.ts";

/** The file in which a layer is rebuilt. */
export interface RebuiltFile {
  path: string;
  /** The bytes in it that an earlier run has left. */
  resumedBytes: number;
  /** The layer's share of the size limit. It is counted while the layer is rebuilt, whatever size was announced. */
  share: SizeLimitShare;
  /** Removes the file. */
  discard: () => Promise<void>;
}

export interface RebuiltFileOptions {
  spool: Pick<LazySpool, "open">;
  /** Stores a partial rebuild for the next run. If undefined, it is not stored. */
  resumeCache: ResumeCache | undefined;
  limit: Pick<SizeLimit, "share">;
}

/** Opens the partial rebuild of a layer that an earlier run has left, or creates an empty file. Rejects with the file system's errors. */
export async function openRebuiltFile(
  diffId: Digest,
  { spool, resumeCache, limit }: RebuiltFileOptions,
): Promise<RebuiltFile> {
  const share = limit.share();
  const partial = await resumeCache?.takePartialRebuild(diffId);
  if (partial !== undefined) {
    const { path, resumedBytes } = partial;
    return { path, resumedBytes, share, discard: async () => await resumeCache?.drop(partial) };
  }
  const path = (await spool.open()).pathFor(`${hexOf(diffId)}.rebuilt`);
  await writeFile(path, "", { flag: "wx", mode: 0o600 });
  return { path, resumedBytes: 0, share, discard: async () => await rm(path, { force: true }) };
}

/** Returns the free bytes of the disk that contains a file. */
export async function bytesFree(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}
