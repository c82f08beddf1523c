import type { Writable } from "node:stream";

/** A pipe to a child does not keep this process from exiting. */
export function unref(pipe: Writable): void {
  (pipe as Writable & { unref(): void }).unref();
}
