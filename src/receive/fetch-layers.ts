import { once } from "node:events";
import type { AnnouncedLayer } from "../conversation/messages.ts";
import type { Digest } from "../image/digest.ts";
import { InvalidImage } from "../image/invalid-image.ts";
import { refuseNonLayerType } from "../image/layer/compression.ts";
import { refuseUnsupportedCompression } from "../image/layer/decompress-layer.ts";
import { Failure } from "../output/errors.ts";
import type { Spool } from "../run/spool.ts";
import { isBrokenConnection, layerFailure } from "../store/layer-failure.ts";
import type { LayerFile } from "../store/store.ts";
import { detectMediaType } from "../store/verify-blob.ts";
import { queue, type Queue } from "../streams/queue.ts";
import { resolveWithin } from "../streams/resolve-within.ts";
import { fetchInto, incomingLayer, type FetchOptions, type IncomingLayer } from "./incoming-layer.ts";

/**
 * A layer of at least this many bytes is large. Large layers are fetched one at a time, so that the lowest arrives early and is loaded
 * while the others are in transit. Small layers are fetched concurrently with them, `SMALL_AT_ONCE` at a time, because each costs a round
 * trip.
 */
const LARGE = 8_000_000;
const SMALL_AT_ONCE = 2;

/** ms to wait for the sender's error after the connection was lost. */
const SENDER_ERROR_TIMEOUT = 1000;

/**
 * Fetches layers into files, and verifies the digest and size of each blob and its diff ID. Fetches large layers in the order of `wanted`.
 * Yields each layer when it is complete, until `layers` ends. Throws the first failure, and abandons the other layers.
 */
export async function* fetchLayers(
  layers: Queue<AnnouncedLayer>,
  wanted: readonly Digest[],
  spool: Spool,
  options: FetchOptions,
): AsyncGenerator<LayerFile> {
  const files = queue<LayerFile>();
  const byPosition = (): Queue<IncomingLayer> => queue<IncomingLayer>(({ diffId }) => wanted.indexOf(diffId));
  const [large, small] = [byPosition(), byPosition()];
  const over = new AbortController();
  const stop = AbortSignal.any([options.signal, over.signal]);
  const sort = async (): Promise<void> => {
    try {
      for await (const layer of streamLayers(layers, { ...options, signal: stop })) {
        (layer.size < LARGE ? small : large).push(layer);
      }
    } finally {
      large.end();
      small.end();
    }
  };
  const work = async (incoming: Queue<IncomingLayer>): Promise<void> => {
    for await (const layer of incoming) {
      stop.throwIfAborted();
      files.push(await fetchLayer(layer, spool, options.resumeCache, stop));
    }
  };
  const workers = [sort(), work(large), ...Array.from({ length: SMALL_AT_ONCE }, () => work(small))];
  const all = Promise.all(workers).finally(() => files.end());
  all.catch(() => {}); // thrown below
  try {
    yield* files;
    await all;
  } catch (error) {
    throw await fetchFailure(error, options.signal);
  } finally {
    over.abort();
    await Promise.allSettled(workers); // before the caller removes their files
  }
}

/** Rebuilds or fetches a layer. */
async function fetchLayer(
  layer: IncomingLayer,
  spool: Spool,
  resumeCache: FetchOptions["resumeCache"],
  signal: AbortSignal,
): Promise<LayerFile> {
  const result = await layer.rebuild();
  if (result.kind === "file") return result;
  const { diffId, size, blob } = result;
  const path = await fetchInto(spool, result, resumeCache, signal);
  // The announced media type may be wrong.
  const mediaType = await detectMediaType(path, blob.mediaType);
  return { kind: "file", diffId, path, size, blob: { ...blob, mediaType } };
}

/**
 * Yields each layer when it can be fetched. Throws the reason of the signal when it is aborted, and `InvalidImage` for an invalid layer.
 */
export async function* streamLayers(
  layers: Queue<AnnouncedLayer>,
  options: FetchOptions,
): AsyncGenerator<IncomingLayer> {
  const { signal } = options;
  signal.throwIfAborted(); // an aborted signal emits no further event
  const onStop = (): void => layers.end();
  signal.addEventListener("abort", onStop);
  try {
    for await (const layer of layers) {
      signal.throwIfAborted();
      refuseNonLayerType(layer.mediaType);
      // A blob of an index is named by its own digest, and is not decompressed on this side.
      if (layer.cutting === undefined && layer.digest !== layer.diffId) refuseUnsupportedCompression(layer.mediaType);
      if (options.named !== undefined && options.named.get(layer.diffId) !== layer.digest)
        throw new InvalidImage(`the layer ${layer.diffId} is sent as another blob than its manifest names`);
      // A layer that is being rebuilt is already counted. A layer that is then sent whole is counted before it is fetched.
      if (layer.cutting === undefined || options.rebuild === undefined) options.limit.refuse(layer.size);
      yield incomingLayer(layer, options);
    }
    signal.throwIfAborted();
  } finally {
    signal.removeEventListener("abort", onStop);
  }
}

/** Returns the Failure for an error of fetching layers, or the reason of the signal if it is aborted. */
export async function fetchFailure(error: unknown, signal: AbortSignal): Promise<unknown> {
  // A connection is often lost just before the sender reports the cause, which aborts the signal.
  const mayBeExplained =
    isBrokenConnection(error) || (error instanceof Failure && error.code === "registry-unavailable");
  if (mayBeExplained && !signal.aborted) await resolveWithin(SENDER_ERROR_TIMEOUT, once(signal, "abort"));
  return signal.aborted ? signal.reason : layerFailure(error, "loaded");
}
