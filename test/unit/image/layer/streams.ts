import { Readable } from "node:stream";
import { chopped } from "../../pseudo-random.ts";

/** Streams the bytes in chunks of pseudo-random sizes. */
export function stream(bytes: Buffer, seed = 1, largest = 20_000): Readable {
  return Readable.from(chopped(bytes, seed, largest), { objectMode: false });
}

/** Returns a stream that counts the bytes that are read from it. */
export const counted = (bytes: Buffer): { source: Readable; given: () => number } => {
  let given = 0;
  const pieces = function* (): Generator<Buffer> {
    for (const piece of chopped(bytes, 1, 2000)) {
      given += piece.length;
      yield piece;
    }
  };
  return { source: Readable.from(pieces(), { objectMode: false }), given: () => given };
};
