import { statfs } from "node:fs/promises";

/** Types of file systems that may compress data: their free bytes do not show whether the data fits (statfs(2)). */
const MAY_COMPRESS = new Set([
  0x91_23_68_3e /* btrfs */, 0x2f_c1_2f_c1 /* zfs */, 0xca_45_1a_4e /* bcachefs */, 0xf2_f5_20_10 /* f2fs */,
]);

/** The free bytes of a disk. */
export interface FreeBytes {
  bytes: number;
  /** No more than `bytes` can be written, because the file system does not compress. */
  isLimit: boolean;
}

/**
 * Returns the free bytes of the disk that contains a file or folder; undefined if this user cannot access it.
 *
 * @param forRoot includes the blocks that are reserved for root
 */
export async function freeBytes(path: string, { forRoot = false } = {}): Promise<FreeBytes | undefined> {
  const found = await statfs(path).catch(() => undefined);
  if (found === undefined) return undefined;
  const { bavail, bfree, bsize, type, blocks } = found;
  // File systems without a size of their own (some of FUSE) report zeros.
  if (blocks === 0) return undefined;
  return { bytes: (forRoot ? bfree : bavail) * bsize, isLimit: !MAY_COMPRESS.has(type) };
}
