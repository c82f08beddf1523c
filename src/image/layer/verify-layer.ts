import { once } from "node:events";
import { PassThrough, Transform, type Readable } from "node:stream";
import type { Digest } from "../digest.ts";
import { decompressLayer } from "./decompress-layer.ts";
import { digestVerifier, type Expected, type DigestVerifier, type SizeLimit } from "./verify-digest.ts";

/** Packed bytes that may wait to be unpacked, so that what is stored is passed on meanwhile. */
const AHEAD = 128 * 1024;

export interface LayerToVerify {
  /** The layer as it is stored, packed or not. What is not known is left out. Size in bytes. */
  blob: { mediaType?: string; digest?: Digest; size?: number };
  /** Of its plain tar. */
  diffId: Digest;
  /** What the plain tar counts against, so that a zip bomb ends early, and what is stored. */
  limit?: SizeLimit;
}

/**
 * Passes a stored layer on as it is, and proves both what is stored (digest and size) and what it unpacks to (diff ID). Fails
 * at the end, or as soon as it is clear, with `InvalidImage`; until it has ended nothing of it may be relied on. Back-pressure
 * reaches through; memory does not grow with the layer.
 */
export function verifyLayer({ blob: { mediaType, digest, size }, diffId, limit }: LayerToVerify): Transform {
  const stored = { what: `layer ${digest ?? diffId}`, digest, size };
  // A packed layer cannot have the digest of what is in it: this one is plain, and hashed once.
  if (digest === diffId) return checkPlain({ ...stored, limit });
  const packed = { ...stored, limit: limit && { spend: (bytes: number) => limit.spendStored(bytes) } };
  return checkPacked(packed, { what: `the plain layer ${diffId}`, digest: diffId, limit }, mediaType);
}

function checkPlain(expected: Expected): Transform {
  const bytes = digestVerifier(expected);
  return new Transform({
    transform: (chunk: Buffer, _encoding, done) => attempt(() => bytes.take(chunk), done) && done(null, chunk),
    flush: (done) => attempt(() => bytes.finish(), done) && done(),
  });
}

function checkPacked(expected: Expected, unpacked: Expected, mediaType: string | undefined): Transform {
  const stored = digestVerifier(expected);
  const side = new PassThrough({ highWaterMark: AHEAD });
  const checked = takeAll(decompressLayer(side, mediaType), digestVerifier(unpacked));
  const check = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      if (!attempt(() => stored.take(chunk), done)) return;
      if (side.write(chunk)) return done(null, chunk);
      once(side, "drain").then(() => done(null, chunk), done);
    },
    flush(done) {
      // First, because a layer that was cut off is better told so than by what its decoder makes of it.
      if (!attempt(() => stored.finish(), done)) return;
      side.end();
      checked.then(() => done(), done);
    },
    destroy(error, done) {
      side.destroy();
      done(error);
    },
  });
  side.on("error", () => {});
  // Also while nothing is written, and while a write waits for a drain that will not come any more.
  checked.catch((error: Error) => check.destroy(error));
  return check;
}

/** Hands an error to a stream's callback. Whether there was none. */
function attempt(step: () => void, done: (error: Error) => void): boolean {
  try {
    step();
    return true;
  } catch (error) {
    done(error as Error);
    return false;
  }
}

async function takeAll(plain: Readable, bytes: DigestVerifier): Promise<void> {
  for await (const chunk of plain) bytes.take(chunk as Buffer);
  bytes.finish();
}
