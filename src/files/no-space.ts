/** ENOSPC: the disk is full; EDQUOT: this user may have no more of it; EFBIG: a file may not become as large (`ulimit -f`). */
const CODES = new Set<unknown>(["ENOSPC", "EDQUOT", "EFBIG"]);

/** Whether the file system would not take what was written. */
export function isNoSpace(error: unknown): boolean {
  return error instanceof Error && CODES.has((error as NodeJS.ErrnoException).code);
}
