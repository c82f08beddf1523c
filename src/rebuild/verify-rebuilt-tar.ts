import type { FileHandle } from "node:fs/promises";
import type { TarRebuild } from "../delta/tar-rebuild.ts";
import type { Digest } from "../image/digest.ts";
import { digestVerifier } from "../image/layer/verify-digest.ts";

/** Bytes of one read. */
const CHUNK = 1024 * 1024;

/**
 * Verifies the diff ID of a layer's tar while it is rebuilt: reads its complete prefix while the prefix grows, because reading 500 MB at
 * the end would take another second. Resolves to the size in bytes when the tar is complete. Rejects with `InvalidImage` if the diff ID
 * differs, with the recipe's error, and when the rebuild is stopped.
 *
 * @param file stays open: the caller owns it
 */
export async function verifyRebuiltTar(
  file: FileHandle,
  rebuild: TarRebuild,
  { diffId, signal }: { diffId: Digest; signal: AbortSignal },
): Promise<number> {
  const verifier = digestVerifier({ what: `the uncompressed layer ${diffId}`, digest: diffId });
  const buffer = Buffer.allocUnsafeSlow(CHUNK);
  for (let at = 0; ;) {
    const complete = await rebuild.completePrefix(at);
    signal.throwIfAborted();
    if (complete === at) return verifier.finish().size;
    const { bytesRead } = await file.read(buffer, 0, Math.min(CHUNK, complete - at), at);
    if (bytesRead === 0) throw new Error("a layer's file became shorter while it was rebuilt");
    verifier.take(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
}
