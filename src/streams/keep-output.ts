import { PassThrough, type Readable } from "node:stream";

/**
 * Returns a stream with the content of a program's output that keeps it until a reader takes it, also between two readers and after the
 * program has ended. The output itself loses content without a reader: execa discards it in the turn after the start, and Node when the
 * program exits (`flushStdio` in lib/child_process.js), even content that a reader has returned with `unshift`.
 *
 * It ends with `output`, also if `output` closes without an end, and fails with it. Destroying it destroys `output`.
 */
export function keepOutput(output: Readable): Readable {
  const kept = new PassThrough();
  output.on("error", (error) => kept.destroy(error)).once("close", () => kept.end());
  kept.on("error", () => {}); // between two readers, it would end this process; each reader still gets it
  kept.once("close", () => output.destroy());
  return output.pipe(kept);
}
