import type { Writable } from "node:stream";

/** Allows this process to exit although it has an open pipe to a child. */
export function unref(pipe: Writable): void {
  (pipe as Writable & { unref(): void }).unref();
}
