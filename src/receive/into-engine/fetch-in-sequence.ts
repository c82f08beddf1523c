import { once } from "node:events";
import type { LayerToStream } from "../../image/docker/write-docker-archive.ts";

/**
 * Yields the next layer when the previous one has been read, or closed: a sender may announce all at once, but the lowest is to arrive
 * early, and only one is held in memory. Throws the reason of the signal when it is aborted.
 */
export async function* fetchInSequence<Layer extends LayerToStream>(
  layers: AsyncIterable<Layer>,
  signal: AbortSignal,
): AsyncGenerator<Layer> {
  signal.throwIfAborted();
  const aborted = once(signal, "abort");
  for await (const layer of layers) {
    let onClose!: () => void;
    const closed = new Promise<void>((resolve) => (onClose = resolve));
    const open = async () => {
      try {
        return (await layer.open()).once("close", onClose);
      } catch (error) {
        onClose();
        throw error;
      }
    };
    yield { ...layer, open };
    await Promise.race([closed, aborted]);
    signal.throwIfAborted();
  }
}
