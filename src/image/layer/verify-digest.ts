import { createHash } from "node:crypto";
import type { Digest } from "../digest.ts";
import { InvalidImage } from "../invalid-image.ts";
import type { SizeLimit } from "./size-limit.ts";

/** The expected properties of some bytes. A property that is left out is not checked. */
export interface Expected {
  /** Names the bytes in messages: "layer sha256:…". */
  what: string;
  digest?: Digest | undefined;
  /** Bytes, exactly. */
  size?: number | undefined;
  /** The limit that the bytes count against. */
  limit?: Pick<SizeLimit, "spend"> | undefined;
}

/** Hashes and counts bytes that pass. Memory does not grow with them. */
export interface DigestVerifier {
  /** Throws {@link InvalidImage} as soon as there are too many bytes, and the limit's error. */
  take(chunk: Uint8Array): void;
  /** Returns what the bytes were. Throws {@link InvalidImage} when they are not the expected ones. Called once, at the end. */
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
