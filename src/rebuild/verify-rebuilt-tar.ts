import type { FileHandle } from "node:fs/promises";
import type { TarRebuild } from "../delta/tar-rebuild.ts";
import { digestVerifier } from "../image/layer/verify-digest.ts";
import type { Digest } from "../image/digest.ts";

/** Bytes that are read at a time. */
const CHUNK = 1024 * 1024;

/**
 * Proves a layer's tar while it is put together, behind what is there of it: to read 500 MB of it again at the end takes a second
 * in which nothing else is done. Resolves to its size in bytes when all of it is there. Rejects with `InvalidImage` when it has
 * another diff ID, with what the recipe ends with, and as soon as the rebuild is left. The file stays the caller's.
 */
export async function verifyRebuiltTar(
  file: FileHandle,
  rebuild: TarRebuild,
  { diffId, signal }: { diffId: Digest; signal: AbortSignal },
): Promise<number> {
  const bytes = digestVerifier({ what: `the uncompressed layer ${diffId}`, digest: diffId });
  const buffer = Buffer.allocUnsafeSlow(CHUNK);
  for (let at = 0; ;) {
    const filled = await rebuild.filled(at);
    signal.throwIfAborted();
    if (filled === at) return bytes.finish().size;
    const { bytesRead } = await file.read(buffer, 0, Math.min(CHUNK, filled - at), at);
    if (bytesRead === 0) throw new Error("a layer's file has become shorter while it was made");
    bytes.take(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
}
