import { createHash } from "node:crypto";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import type { Digest } from "../image/digest.ts";
import type { SpooledBlob } from "../registry/embedded/push/upload-spool.ts";

/** Computes the diff ID of a gzipped layer. Returns undefined if the blob is not gzip, or if the signal is aborted. */
export async function diffIdOf(blob: SpooledBlob, signal: AbortSignal): Promise<Digest | undefined> {
  const hash = createHash("sha256");
  try {
    await pipeline(await blob.open(), createGunzip(), hash, { signal });
    return `sha256:${hash.digest("hex")}`;
  } catch {
    return undefined;
  }
}
