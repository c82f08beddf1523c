import { once } from "node:events";
import { PassThrough, Transform, type Readable } from "node:stream";
import type { Digest } from "../digest.ts";
import { decompressLayer } from "./decompress-layer.ts";
import type { SizeLimit } from "./size-limit.ts";
import { digestVerifier, type DigestVerifier, type Expected } from "./verify-digest.ts";

/** Compressed bytes that may wait for the decompressor while the stored bytes are passed on. */
const AHEAD = 128 * 1024;

export interface LayerToVerify {
  /** The stored layer, compressed or not. Unknown properties are undefined. Size in bytes. */
  blob: { mediaType?: string; digest?: Digest; size?: number };
  /** The digest of the uncompressed tar. */
  diffId: Digest;
  /** Limits the uncompressed tar, which stops a zip bomb early, and the stored bytes. */
  limit?: SizeLimit;
}

/**
 * Passes a stored layer through and verifies both the stored bytes (digest and size) and the uncompressed tar (diff ID). Fails with
 * `InvalidImage` at the end, or as soon as the layer is known to be wrong. The bytes are not verified before the stream has ended.
 * Propagates back-pressure; memory does not grow with the layer.
 */
export function verifyLayer({ blob: { mediaType, digest, size }, diffId, limit }: LayerToVerify): Transform {
  const stored = { what: `layer ${digest ?? diffId}`, digest, size };
  // A compressed layer cannot have the digest of its own content: this layer is uncompressed, and hashed only once.
  if (digest === diffId) return verifyUncompressed({ ...stored, limit });
  const compressed = { ...stored, limit: limit && { spend: (bytes: number) => limit.spendStored(bytes) } };
  return verifyBoth(compressed, { what: `the uncompressed layer ${diffId}`, digest: diffId, limit }, mediaType);
}

function verifyUncompressed(expected: Expected): Transform {
  const verifier = digestVerifier(expected);
  return new Transform({
    transform: (chunk: Buffer, _encoding, done) => succeeds(() => verifier.take(chunk), done) && done(null, chunk),
    flush: (done) => succeeds(() => verifier.finish(), done) && done(),
  });
}

function verifyBoth(stored: Expected, uncompressed: Expected, mediaType: string | undefined): Transform {
  const verifier = digestVerifier(stored);
  const branch = new PassThrough({ highWaterMark: AHEAD });
  const uncompressedVerified = consume(decompressLayer(branch, mediaType), digestVerifier(uncompressed));
  const transform = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      if (!succeeds(() => verifier.take(chunk), done)) return;
      if (branch.write(chunk)) return done(null, chunk);
      once(branch, "drain").then(() => done(null, chunk), done);
    },
    flush(done) {
      // First, because its message about a truncated layer is clearer than the decompressor's.
      if (!succeeds(() => verifier.finish(), done)) return;
      branch.end();
      uncompressedVerified.then(() => done(), done);
    },
    destroy(error, done) {
      branch.destroy();
      done(error);
    },
  });
  branch.on("error", () => {});
  // Also reports errors while nothing is written, and while a write waits for a "drain" that never comes.
  uncompressedVerified.catch((error: Error) => transform.destroy(error));
  return transform;
}

/** Runs a step, passes its error to a stream's callback, and returns whether it succeeded. */
function succeeds(step: () => void, done: (error: Error) => void): boolean {
  try {
    step();
    return true;
  } catch (error) {
    done(error as Error);
    return false;
  }
}

async function consume(tar: Readable, verifier: DigestVerifier): Promise<void> {
  for await (const chunk of tar) verifier.take(chunk as Buffer);
  verifier.finish();
}
