import { rm, statfs, writeFile } from "node:fs/promises";
import type { SizeLimitShare, SizeLimit } from "../image/layer/size-limit.ts";
import { hexOf, type Digest } from "../image/digest.ts";
import type { ResumeCache } from "../store/resume-cache.ts";
import type { LazySpool } from "../store/spool.ts";

/** The file that a layer is made in. */
export interface RebuiltFile {
  path: string;
  /** Bytes that an earlier run has left in it. */
  before: number;
  /** What is made counts against it while it is made, whatever size the layer was announced with. */
  share: SizeLimitShare;
  /** Nothing of it stays. */
  discard: () => Promise<void>;
}

export interface RebuiltFileOptions {
  spool: Pick<LazySpool, "open">;
  /** Where a layer that is half made stays for the next run; undefined: nowhere. */
  resumeCache: ResumeCache | undefined;
  limit: Pick<SizeLimit, "share">;
}

/** A file for a layer: the half made one that an earlier run has left, or an empty one. Rejects with the file system's errors. */
export async function openRebuiltFile(
  diffId: Digest,
  { spool, resumeCache, limit }: RebuiltFileOptions,
): Promise<RebuiltFile> {
  const share = limit.share();
  const half = await resumeCache?.takePartialRebuild(diffId);
  if (half !== undefined)
    return { path: half.path, before: half.before, share, discard: async () => await resumeCache?.drop(half) };
  const path = (await spool.open()).pathFor(`${hexOf(diffId)}.made`);
  await writeFile(path, "", { flag: "wx", mode: 0o600 });
  return { path, before: 0, share, discard: async () => await rm(path, { force: true }) };
}

/** Bytes that there is room for where a file is. */
export async function bytesFree(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}
