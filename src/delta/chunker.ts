/**
 * Where a long content is cut: FastCDC (Xia et al., USENIX ATC 2016) with a 32-bit gear hash. A boundary follows from the bytes
 * since the one before, so what is inserted or taken out moves only the boundaries beside it.
 *
 * Both ends cut by themselves and find what they have in common: other numbers, or another table, would still give the right
 * image, with next to nothing in common.
 */

/** Bytes of a piece. Up to `NORMAL`, boundaries are four times as rare as one in 32 kB, beyond it four times as frequent. */
const MIN = 8 * 1024;
const NORMAL = 32 * 1024;
export const MAX_PIECE = 128 * 1024;

/** 17 bits, then 13, the highest: those have seen 32 bytes, the lowest only the last of them. */
const RARE = ~0 << (32 - 17);
const FREQUENT = ~0 << (32 - 13);

/**
 * The length of the first piece of `bytes` from `start` to `end`, exclusive; at most {@link MAX_PIECE}. It depends on no more
 * bytes than that. 560 MB/s with one core; 400 MB/s with the tar around it and the keys.
 */
export function pieceLength(bytes: Uint8Array, start: number, end: number): number {
  const limit = Math.min(end, start + MAX_PIECE);
  const first = start + MIN;
  if (limit <= first) return limit - start;
  const normal = Math.min(limit, start + NORMAL);
  let hash = 0;
  let at = first;
  for (; at < normal; at += 1) {
    hash = ((hash << 1) + (GEAR[bytes[at] as number] as number)) | 0;
    if ((hash & RARE) === 0) return at + 1 - start;
  }
  for (; at < limit; at += 1) {
    hash = ((hash << 1) + (GEAR[bytes[at] as number] as number)) | 0;
    if ((hash & FREQUENT) === 0) return at + 1 - start;
  }
  return limit - start;
}

/** A number for each byte: splitmix32 of its value. */
const GEAR = Int32Array.from({ length: 256 }, (_, byte) => {
  let mixed = Math.imul(byte + 1, 0x9e3779b9);
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
  return mixed ^ (mixed >>> 15);
});
