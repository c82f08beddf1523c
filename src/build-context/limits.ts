/** Limits of a context from an untrusted source. */
export interface ContextLimits {
  /** Entries, without the root. */
  entries: number;
  /** Bytes of all files. */
  bytes: number;
  /** Names in a path. */
  depth: number;
  /** Says, as the end of a hint, how somebody can raise the limit of bytes. */
  howToRaise?: string | undefined;
}

/** Far above the contexts that people build from, and low enough to bound the memory and time that a hostile context costs. */
export const CONTEXT_LIMITS: ContextLimits = { entries: 1_000_000, bytes: 100e9, depth: 256 };

/** The largest absolute value of an mtime in µs, in the year 2112: with the sign as an extra bit, it is still a safe integer. */
export const MAX_MTIME = 2 ** 52 - 1;

/** Bytes of a path, and of a link's target (PATH_MAX of Linux, without its NUL). */
export const MAX_PATH = 4095;
