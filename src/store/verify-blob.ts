import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { MAGIC_LENGTH, correctMediaType } from "../image/layer/compression.ts";
import { digestVerifier } from "../image/layer/verify-digest.ts";
import { type Descriptor } from "../image/manifest.ts";
import { InvalidImage } from "../image/invalid-image.ts";

/** Bytes of one read. */
const CHUNK = 1024 * 1024;

export interface VerifyOptions {
  signal?: AbortSignal | undefined;
  /** Receives the number of bytes of each read. */
  onBytes?: ((count: number) => void) | undefined;
}

/**
 * Reads a layer's blob and verifies its digest. Returns its descriptor, with the media type of its bytes ({@link correctMediaType});
 * undefined if it is missing or has another digest.
 */
export async function verifyBlob(
  path: string,
  blob: Descriptor,
  { signal, onBytes }: VerifyOptions = {},
): Promise<Descriptor | undefined> {
  const file = await openFile(path);
  if (file === undefined) return undefined;
  await using _ = file;
  const found = await file.stat();
  if (!found.isFile() || found.size !== blob.size) return undefined;
  const bytes = digestVerifier({ what: blob.digest, digest: blob.digest, size: blob.size });
  const buffer = Buffer.allocUnsafe(Math.min(CHUNK, blob.size));
  let start = Buffer.alloc(0);
  try {
    for (let read = await file.read(buffer); read.bytesRead > 0; read = await file.read(buffer)) {
      signal?.throwIfAborted();
      const chunk = buffer.subarray(0, read.bytesRead);
      if (start.length < MAGIC_LENGTH) start = Buffer.concat([start, chunk.subarray(0, MAGIC_LENGTH)]);
      bytes.take(chunk);
      onBytes?.(chunk.length);
    }
    bytes.finish();
  } catch (error) {
    if (error instanceof InvalidImage) return undefined;
    throw error;
  }
  return { ...blob, mediaType: correctMediaType(blob.mediaType, start) };
}

/** Opens a file without blocking on a pipe. A file that cannot be opened counts as missing. */
async function openFile(path: string): Promise<FileHandle | undefined> {
  return await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch(() => undefined);
}

/** Returns the media type of a blob in a file, by its bytes. */
export async function detectMediaType(path: string, claimed: string): Promise<string> {
  await using file = await open(path);
  const { bytesRead, buffer } = await file.read(Buffer.alloc(MAGIC_LENGTH), 0, MAGIC_LENGTH, 0);
  return correctMediaType(claimed, buffer.subarray(0, bytesRead));
}
