/** ENOSPC: the disk is full; EDQUOT: the user's quota is used up; EFBIG: the file has reached its size limit (`ulimit -f`). */
const CODES = new Set<unknown>(["ENOSPC", "EDQUOT", "EFBIG"]);

/** Returns whether the file system has refused a write for lack of space. */
export function isNoSpace(error: unknown): boolean {
  return error instanceof Error && CODES.has((error as NodeJS.ErrnoException).code);
}
