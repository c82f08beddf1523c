import type { Writable } from "node:stream";

/** Lets this process exit in spite of a pipe to a child. */
export function unref(pipe: Writable): void {
  (pipe as Writable & { unref(): void }).unref();
}
