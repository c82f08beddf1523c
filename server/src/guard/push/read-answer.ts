import type { Readable } from "node:stream";

/** Reads at most `max` bytes of a small answer, and destroys the rest. Returns an empty text for a longer answer. */
export async function readAnswer(stream: Readable, max: number): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > max) return "";
  }
  return Buffer.concat(chunks).toString("utf8");
}
