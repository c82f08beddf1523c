import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import type { Digest } from "../digest.ts";
import { InvalidImage } from "../manifest.ts";

/** What bytes have to be. What is left out is not looked at. */
export interface Expected {
  /** For messages: "layer sha256:…". */
  what: string;
  digest?: Digest | undefined;
  /** Bytes, exactly. */
  size?: number | undefined;
  /** Bytes, at most. */
  maxSize?: number | undefined;
}

/** Takes bytes as they pass, and knows at the end what they were. Memory does not grow with them. */
export interface Proof {
  /** Throws {@link InvalidImage} as soon as there are too many. */
  take(chunk: Uint8Array): void;
  /** Throws {@link InvalidImage} when they were not what was expected. Once, at the end. */
  finish(): { digest: Digest; size: number };
}

export function proof({ what, digest, size, maxSize }: Expected): Proof {
  const hash = createHash("sha256");
  let taken = 0;
  return {
    take(chunk) {
      taken += chunk.length;
      if (maxSize !== undefined && taken > maxSize) throw new InvalidImage(`${what} is larger than ${maxSize} bytes`);
      if (size !== undefined && taken > size)
        throw new InvalidImage(`${what} is larger than the ${size} bytes it should have`);
      hash.update(chunk);
    },
    finish() {
      if (size !== undefined && taken !== size) {
        throw new InvalidImage(`${what} ends after ${taken} of its ${size} bytes`);
      }
      const found: Digest = `sha256:${hash.digest("hex")}`;
      if (digest !== undefined && found !== digest) throw new InvalidImage(`${what} is in truth ${found}`);
      return { digest: found, size: taken };
    },
  };
}

/**
 * Passes bytes on and fails at their end with {@link InvalidImage} when they were not what was expected: until its end is
 * reached without an error, nothing of it may be relied on. Owns `source`.
 */
export function proven(source: AsyncIterable<Uint8Array>, expected: Expected): Readable {
  return Readable.from(passOn(source, proof(expected)), { objectMode: false });
}

async function* passOn(source: AsyncIterable<Uint8Array>, bytes: Proof): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    bytes.take(chunk);
    yield chunk;
  }
  bytes.finish();
}
