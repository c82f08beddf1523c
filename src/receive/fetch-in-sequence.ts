import { once } from "node:events";
import type { LayerToStream } from "../image/docker/write-docker-archive.ts";

/**
 * Gives the next layer when the one before has been read, or left: a sender may announce them all at once, and the lowest is to be
 * there early. Only one is on its way, and in memory. Ends when the signal is aborted.
 */
export async function* fetchInSequence<Layer extends LayerToStream>(
  layers: AsyncIterable<Layer>,
  signal: AbortSignal,
): AsyncGenerator<Layer> {
  signal.throwIfAborted();
  const aborted = once(signal, "abort");
  for await (const layer of layers) {
    let over!: () => void;
    const read = new Promise<void>((resolve) => (over = resolve));
    const open = async () => {
      try {
        return (await layer.open()).once("close", over);
      } catch (error) {
        over();
        throw error;
      }
    };
    yield { ...layer, open };
    await Promise.race([read, aborted]);
    signal.throwIfAborted();
  }
}
