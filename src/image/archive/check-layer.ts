import { once } from "node:events";
import { PassThrough, Transform, type Readable } from "node:stream";
import type { Digest } from "../digest.ts";
import type { Descriptor } from "../manifest.ts";
import { decodeLayer } from "./decode-layer.ts";
import { proof, type Proof } from "./prove.ts";

export interface LayerToCheck {
  /** The layer as it is stored, packed or not. Where the digest is not known it is left out. */
  blob: { mediaType?: string; digest?: Digest; size?: Descriptor["size"] };
  /** Of its plain tar. */
  diffId: Digest;
  /** Bytes of plain tar at most, against zip bombs. */
  maxSize?: number;
}

/**
 * Passes a stored layer on as it is, and proves both what is stored (digest and size) and what it unpacks to (diff ID). Fails
 * at the end, or as soon as it is clear, with `InvalidImage`; until it has ended nothing of it may be relied on. Back-pressure
 * reaches through; memory does not grow with the layer.
 */
export function checkLayer({ blob, diffId, maxSize }: LayerToCheck): Transform {
  const { mediaType, digest, size } = blob;
  const stored = proof({
    what: `layer ${digest ?? diffId}`,
    ...(digest && { digest }),
    ...(size !== undefined && { size }),
  });
  const unpacked = proof({
    what: `the plain layer ${diffId}`,
    digest: diffId,
    ...(maxSize !== undefined && { maxSize }),
  });
  const side = new PassThrough();
  const checked = takeAll(decodeLayer(side, mediaType), unpacked);
  const check = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      try {
        stored.take(chunk);
      } catch (error) {
        return done(error as Error);
      }
      if (side.write(chunk)) return done(null, chunk);
      once(side, "drain").then(() => done(null, chunk), done);
    },
    flush(done) {
      try {
        // First, because a layer that was cut off is better told so than by what its decoder makes of it.
        stored.finish();
      } catch (error) {
        return done(error as Error);
      }
      side.end();
      checked.then(() => done(), done);
    },
    destroy(error, done) {
      side.destroy();
      done(error);
    },
  });
  side.on("error", () => {});
  checked.catch((error: Error) => check.destroy(error));
  return check;
}

async function takeAll(plain: Readable, bytes: Proof): Promise<void> {
  for await (const chunk of plain) bytes.take(chunk as Buffer);
  bytes.finish();
}
