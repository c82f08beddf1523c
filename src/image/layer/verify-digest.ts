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
  limit?: Pick<SizeLimit, "spend"> | undefined;
}

/** Bytes that several layers may have together. */
export interface SizeLimit {
  /** Infinity where there is none. */
  readonly left: number;
  /** Throws {@link SizeLimitExceeded} when so many are too many now. */
  refuse(bytes: number): void;
  /** The same, and they are gone. */
  spend(bytes: number): void;
  /** The same for bytes of layers as they are stored: a little more is allowed of them, see {@link PACKING}. */
  spendStored(bytes: number): void;
  /** The same limit, for a layer of which all that was spent can be given back. */
  share(): SizeLimitShare;
}

/** One layer's share of a limit. */
export interface SizeLimitShare extends SizeLimit {
  /** What was written of the layer is gone. Nothing more is spent of this share: who still tries is told so. */
  release(): void;
}

/** More than whoever receives it allows. */
export class SizeLimitExceeded extends Error {
  override readonly name = "TooLarge";
}

/**
 * What packing may add. Contents that cannot be packed gain a thousandth with gzip, and an empty layer some bytes; a blob that is
 * larger than what it unpacks to (gzip's empty members, zstd's skippable frames) is made to fill a disk.
 */
const PACKING = { part: 1 / 16, bytes: 1_000_000 };

export function sizeLimit(maxSize = Number.POSITIVE_INFINITY): SizeLimit {
  let plain = 0;
  let stored = 0;
  const most = maxSize + maxSize * PACKING.part + PACKING.bytes;
  const refuseUnless = (isAllowed: boolean): void => {
    if (!isAllowed) throw new SizeLimitExceeded(`its layers are larger than the ${maxSize} bytes that are allowed`);
  };
  const share = (): SizeLimitShare => {
    const own = { plain: 0, stored: 0 };
    let isOver = false;
    const refuseOver = (): void => {
      if (isOver) throw new Error("the layer has been given up");
    };
    const refuse = (bytes: number): void => refuseUnless(plain + bytes <= maxSize);
    return {
      get left() {
        return maxSize - plain;
      },
      refuse,
      spend(bytes) {
        refuseOver();
        refuse(bytes);
        plain += bytes;
        own.plain += bytes;
      },
      spendStored(bytes) {
        refuseOver();
        refuseUnless(stored + bytes <= most);
        stored += bytes;
        own.stored += bytes;
      },
      share,
      release() {
        plain -= own.plain;
        stored -= own.stored;
        own.plain = own.stored = 0;
        isOver = true;
      },
    };
  };
  return share();
}

/** Takes bytes as they pass, and knows at the end what they were. Memory does not grow with them. */
export interface DigestVerifier {
  /** Throws {@link InvalidImage} as soon as there are too many. */
  take(chunk: Uint8Array): void;
  /** Throws {@link InvalidImage} when they were not what was expected. Once, at the end. */
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
export function verifiedStream(source: AsyncIterable<Uint8Array>, expected: Expected): Readable {
  const bytes = digestVerifier(expected);
  return Readable.from(
    (async function* () {
      yield* passThroughVerifier(source, bytes);
      bytes.finish();
    })(),
    { objectMode: false },
  );
}

/** Passes bytes on, and has each counted. To finish the proof is the caller's. */
export async function* passThroughVerifier<T extends Uint8Array>(
  source: AsyncIterable<T>,
  bytes: DigestVerifier,
): AsyncGenerator<T> {
  for await (const chunk of source) {
    bytes.take(chunk);
    yield chunk;
  }
}
