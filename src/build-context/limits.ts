/** Limits of a context that comes from elsewhere. */
export interface ContextLimits {
  /** Entries, without the root. */
  entries: number;
  /** Bytes of all files. */
  bytes: number;
  /** Names in a path. */
  depth: number;
}

/** Far above what people build from, and low enough that a hostile context costs neither memory nor time without end. */
export const CONTEXT_LIMITS: ContextLimits = { entries: 1_000_000, bytes: 100e9, depth: 256 };

/** The largest amount of an mtime in µs: with its sign as a bit, it is still an exact number. The year 2112 */
export const MAX_MTIME = 2 ** 52 - 1;

/** Bytes of a path, and of a link's target (PATH_MAX of Linux, without its NUL). */
export const MAX_PATH = 4095;
