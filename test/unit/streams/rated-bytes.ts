import type { Readable } from "node:stream";

export const kB = 1024;
/** Bytes that may pass at once, at rates of up to 160 kB/s. */
export const BURST = 16 * kB;

/** Returns bytes that contain their own offsets. */
export const numbered = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, at) => at % 251));

/** Collects what a stream yields. */
export function collect(stream: Readable) {
  const passed: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => passed.push(chunk));
  return { stream, bytes: () => Buffer.concat(passed) };
}
