import { createHash } from "node:crypto";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import type { Digest } from "../image/digest.ts";
import type { SpooledBlob } from "../registry/embedded/upload-spool.ts";

/** What a gzipped layer holds; undefined when it is none, or nobody waits for it any more. Nothing of it is kept. */
export async function diffIdOf(blob: SpooledBlob, signal: AbortSignal): Promise<Digest | undefined> {
  const hash = createHash("sha256");
  try {
    await pipeline(await blob.open(), createGunzip(), hash, { signal });
    return `sha256:${hash.digest("hex")}`;
  } catch {
    return undefined;
  }
}
