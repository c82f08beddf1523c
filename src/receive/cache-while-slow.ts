const MB = 1_000_000;

/** Bytes from which the rate of a layer is judged. */
const ENOUGH = 64 * MB;
/**
 * Plain bytes a second from which a streamed layer is not written to the resume cache. Fetching 64 MB again takes a second, and writing them
 * takes the disk from the engine, which writes the layer twice itself.
 */
const FAST = 64 * MB;

/** Returns a function that receives the bytes of each chunk of a layer, and returns whether to go on writing it to the resume cache. */
export function cacheWhileSlow(now: () => number = () => performance.now()): (bytes: number) => boolean {
  const since = now();
  let received = 0;
  return (bytes) => {
    received += bytes;
    return received < ENOUGH || (received / (now() - since)) * 1000 < FAST;
  };
}
