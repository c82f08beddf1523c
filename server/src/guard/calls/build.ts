import type { Call } from "./call.ts";

/** `POST /build`, `/build/prune` and `/build/cancel`. */
export const BUILD_CALLS: readonly Call[] = [];
