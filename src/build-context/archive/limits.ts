import type { ContextLimits } from "../limits.ts";

/** What an archive may cost that comes from anybody who may log in. Large source trees have 100,000 files. `bytes`: --max-size. */
export const ARCHIVE_LIMITS: ContextLimits = { bytes: 4 * 1024 ** 3, entries: 200_000, depth: 100 };

/**
 * How many times its size an archive may unpack to. Source code shrinks to a tenth, logs to a fiftieth; a bomb in gzip to a thousandth, in xz to
 * a ten-thousandth.
 */
export const MAX_RATIO = 200;
/** Bytes for which the ratio is not looked at: a small archive of zeros is no harm. */
export const RATIO_FREE = 64 * 1024 ** 2;
/** Bytes of a symbolic link's target in a zip, where it is the content of a file. */
export const MAX_LINK = 4095;
