/** Returns a generator of pseudo-random numbers from 0 to 1, equal for equal seeds (mulberry32). */
export function pseudoRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function pseudoRandomBytes(size: number, seed: number): Buffer {
  const random = pseudoRandom(seed);
  return Buffer.from(Array.from({ length: size }, () => Math.floor(random() * 256)));
}

/** Yields the bytes in chunks of one byte to `largest`. */
export function* chopped(bytes: Buffer, seed: number, largest: number): Generator<Buffer> {
  const random = pseudoRandom(seed);
  for (let at = 0; at < bytes.length;) {
    const end = at + 1 + Math.floor(random() * largest);
    yield bytes.subarray(at, end);
    at = end;
  }
}
