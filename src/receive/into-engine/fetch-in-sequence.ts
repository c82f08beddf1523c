import { once } from "node:events";
import type { LayerToStream } from "../../image/docker/write-docker-archive.ts";

/**
 * Yields the next layer when the previous layer has been read or closed: a sender may announce all layers at the same time, but the lowest
 * layer must arrive early, and memory is limited to one layer. Throws the reason of the signal when it is aborted.
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
