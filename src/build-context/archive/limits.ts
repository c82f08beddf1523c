import type { ContextLimits } from "../limits.ts";

/** The limits of an archive, which anybody who may log in can send. Large source trees have 100,000 files. --max-size sets `bytes`. */
export const ARCHIVE_LIMITS: ContextLimits = { bytes: 4 * 1024 ** 3, entries: 200_000, depth: 100 };

/**
 * The largest ratio of an archive's unpacked size to its size. Source code shrinks to a tenth, logs to a fiftieth. A gzip bomb shrinks to a
 * thousandth, an xz bomb to a ten-thousandth.
 */
export const MAX_RATIO = 200;
/** The ratio is not checked for this many unpacked bytes: a small archive of zeros does no harm. */
export const RATIO_FREE = 64 * 1024 ** 2;
/** Bytes of a symbolic link's target in a zip, which stores it as a file's content. */
export const MAX_LINK = 4095;
