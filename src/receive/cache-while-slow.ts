const MB = 1_000_000;

/** The rate of a layer is judged after this many bytes. */
const MIN_SAMPLE = 64 * MB;
/**
 * A streamed layer is not written to the resume cache at this rate or above, in plain bytes a second. Fetching 64 MB again takes a second,
 * and writing them would compete for the disk with the engine, which writes the layer twice itself.
 */
const MAX_CACHED_RATE = 64 * MB;

/**
 * Returns a function that receives the size of each chunk of a layer, and returns whether to continue writing the layer to the resume
 * cache.
 */
export function cacheWhileSlow(now: () => number = () => performance.now()): (bytes: number) => boolean {
  const since = now();
  let received = 0;
  return (bytes) => {
    received += bytes;
    return received < MIN_SAMPLE || (received / (now() - since)) * 1000 < MAX_CACHED_RATE;
  };
}
