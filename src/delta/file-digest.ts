import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import type { Digest } from "../image/digest.ts";

/** The digest of a file as it is. Rejects with the file system's errors and the signal's reason. */
export async function digestOfFile(path: string, signal?: AbortSignal): Promise<Digest> {
  const hash = createHash("sha256");
  const chunks = createReadStream(path, { highWaterMark: 1024 * 1024, ...(signal !== undefined && { signal }) });
  try {
    for await (const chunk of chunks) hash.update(chunk as Buffer);
  } catch (error) {
    throw signal?.aborted === true ? signal.reason : error;
  }
  return `sha256:${hash.digest("hex")}`;
}
