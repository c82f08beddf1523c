import { rm, statfs, writeFile } from "node:fs/promises";
import { hexOf, type Digest } from "../image/digest.ts";
import type { SizeLimitShare, SizeLimit } from "../image/layer/size-limit.ts";
import type { ResumeCache } from "../store/resume-cache.ts";
import type { LazySpool } from "../run/spool.ts";

/** The file that a layer is rebuilt in. */
export interface RebuiltFile {
  path: string;
  /** Bytes that an earlier run has left in it. */
  resumedBytes: number;
  /** The layer's share of the size limit, counted while it is rebuilt, whatever size was announced. */
  share: SizeLimitShare;
  /** Removes the file. */
  discard: () => Promise<void>;
}

export interface RebuiltFileOptions {
  spool: Pick<LazySpool, "open">;
  /** Where a partial rebuild stays for the next run; undefined: nowhere. */
  resumeCache: ResumeCache | undefined;
  limit: Pick<SizeLimit, "share">;
}

/** Opens the partial rebuild that an earlier run has left of a layer, or creates an empty file. Rejects with the file system's errors. */
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

/** Returns the free bytes of the disk that a file is on. */
export async function bytesFree(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}
