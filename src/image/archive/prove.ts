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
  /** They count against it. */
  limit?: SizeLimit | undefined;
}

/** Bytes that several layers may have together. */
export interface SizeLimit {
  /** Infinity where there is none. */
  readonly left: number;
  /** Throws {@link TooLarge} when so many are too many now. */
  refuse(bytes: number): void;
  /** The same, and they are gone. */
  spend(bytes: number): void;
}

/** More than whoever receives it allows. */
export class TooLarge extends Error {
  override readonly name = "TooLarge";
}

export function sizeLimit(maxSize = Number.POSITIVE_INFINITY): SizeLimit {
  let left = maxSize;
  const refuse = (bytes: number): void => {
    if (bytes > left) throw new TooLarge(`its layers are larger than the ${maxSize} bytes that are allowed`);
  };
  return {
    get left() {
      return left;
    },
    refuse,
    spend(bytes) {
      refuse(bytes);
      left -= bytes;
    },
  };
}

/** Takes bytes as they pass, and knows at the end what they were. Memory does not grow with them. */
export interface Proof {
  /** Throws {@link InvalidImage} as soon as there are too many. */
  take(chunk: Uint8Array): void;
  /** Throws {@link InvalidImage} when they were not what was expected. Once, at the end. */
  finish(): { digest: Digest; size: number };
}

export function proof({ what, digest, size, limit }: Expected): Proof {
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
  const bytes = proof(expected);
  return Readable.from(
    (async function* () {
      yield* passOn(source, bytes);
      bytes.finish();
    })(),
    { objectMode: false },
  );
}

/** Passes bytes on, and has each counted. To finish the proof is the caller's. */
export async function* passOn<T extends Uint8Array>(source: AsyncIterable<T>, bytes: Proof): AsyncGenerator<T> {
  for await (const chunk of source) {
    bytes.take(chunk);
    yield chunk;
  }
}
