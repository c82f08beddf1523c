import type { Stats } from "node:fs";

/** The unit of `blocks` in bytes, whatever the block size of the file system. */
const STAT_BLOCK = 512;

/** Returns the bytes that a file takes on the disk: fewer than its size if it has holes. */
export function allocatedBytes({ blocks }: Pick<Stats, "blocks">): number {
  return blocks * STAT_BLOCK;
}
