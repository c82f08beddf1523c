const MB = 1_000_000;

/** Bytes that show how fast a layer comes. */
const ENOUGH = 64 * MB;
/**
 * Bytes a second, plain, from which on a layer is not kept that the engine is given as it comes: to fetch it again takes a second
 * for 64 MB, and to write it takes the disk from the engine, which writes it twice itself.
 */
const FAST = 64 * MB;

/** Whether a layer is still to be kept, asked after each of its chunks. A slow one is, and so is what is not much. */
export function cacheWhileSlow(now: () => number = () => performance.now()): (bytes: number) => boolean {
  const since = now();
  let come = 0;
  return (bytes) => {
    come += bytes;
    return come < ENOUGH || (come / (now() - since)) * 1000 < FAST;
  };
}
