import { createHash } from "node:crypto";
import type { Digest } from "../digest.ts";
import { InvalidImage } from "../invalid-image.ts";
import type { SizeLimit } from "./size-limit.ts";

/** The expected properties of some bytes. Undefined properties are not checked. */
export interface Expected {
  /** Names the bytes in messages: "layer sha256:…". */
  what: string;
  digest?: Digest | undefined;
  /** Bytes, exactly. */
  size?: number | undefined;
  /** The limit from which the bytes are spent. */
  limit?: Pick<SizeLimit, "spend"> | undefined;
}

/** Hashes and counts the bytes of a stream, in constant memory. */
export interface DigestVerifier {
  /** Processes the next bytes. Throws {@link InvalidImage} as soon as there are too many, and the limit's error. */
  take(chunk: Uint8Array): void;
  /** Returns the digest and size of the bytes. Throws {@link InvalidImage} if they do not match. Call it once, at the end. */
  finish(): { digest: Digest; size: number };
}

export function digestVerifier({ what, digest, size, limit }: Expected): DigestVerifier {
  const hash = createHash("sha256");
  let taken = 0;
  return {
    take(chunk) {
      taken += chunk.length;
      limit?.spend(chunk.length);
      if (size !== undefined && taken > size)
        throw new InvalidImage(`${what} is larger than the ${size} bytes it should have`);
      hash.update(chunk);
    },
    finish() {
      if (size !== undefined && taken !== size) {
        throw new InvalidImage(`${what} ends after ${taken} of its ${size} bytes`);
      }
      const actual: Digest = `sha256:${hash.digest("hex")}`;
      if (digest !== undefined && actual !== digest) throw new InvalidImage(`${what} has the digest ${actual}`);
      return { digest: actual, size: taken };
    },
  };
}
