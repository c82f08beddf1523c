import { once } from "node:events";
import type { AnnouncedLayer } from "../conversation/messages.ts";
import { refuseNonLayerType } from "../image/layer/compression.ts";
import { refuseUnsupportedCompression } from "../image/layer/decompress-layer.ts";
import type { Digest } from "../image/digest.ts";
import { InvalidImage } from "../image/invalid-image.ts";
import { Failure } from "../output/errors.ts";
import { detectMediaType } from "../store/verify-blob.ts";
import { isBrokenConnection, layerFailure } from "../store/layer-failure.ts";
import type { Spool } from "../run/spool.ts";
import type { LayerFile } from "../store/store.ts";
import { queue, type Queue } from "../streams/queue.ts";
import { resolveWithin } from "../streams/resolve-within.ts";
import { incomingLayer, fetchInto, type IncomingLayer, type FetchOptions } from "./incoming-layer.ts";

/**
 * Bytes from which on a layer has the wire for itself, so that the lowest is there early and can be loaded while the others come.
 * Beside it small ones are fetched, so many at once, which would else wait for a round trip each.
 */
const LARGE = 8_000_000;
const SMALL_AT_ONCE = 2;

/** ms */
const LAST_WORDS = 1000;

/**
 * Fetches layers into the spool, and proves each while it comes: the blob by its digest and size, what it unpacks to by its
 * diff ID. Of large ones, the first of `wanted` comes first. Yields each when it is there, until `layers` has ended. Throws the first failure; the others are given up.
 */
export async function* fetchLayers(
  layers: Queue<AnnouncedLayer>,
  wanted: readonly Digest[],
  spool: Spool,
  options: FetchOptions,
): AsyncGenerator<LayerFile> {
  const files = queue<LayerFile>();
  const byRank = (): Queue<IncomingLayer> => queue<IncomingLayer>(({ diffId }) => wanted.indexOf(diffId));
  const [large, small] = [byRank(), byRank()];
  const broken = new AbortController();
  const stop = AbortSignal.any([options.signal, broken.signal]);
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
  const worker = async (coming: Queue<IncomingLayer>): Promise<void> => {
    for await (const layer of coming) {
      stop.throwIfAborted();
      const settled = await layer.settle();
      if (settled.kind === "file") {
        files.push(settled);
        continue;
      }
      const { diffId, size, blob } = settled;
      const path = await fetchInto(spool, settled, options.resumeCache, stop);
      // Its bytes are known here for the first time: what it was said to be is not passed on.
      const mediaType = await detectMediaType(path, blob.mediaType);
      files.push({ kind: "file", diffId, path, size, blob: { ...blob, mediaType } });
    }
  };
  const workers = [sort(), worker(large), ...Array.from({ length: SMALL_AT_ONCE }, () => worker(small))];
  const all = Promise.all(workers).finally(() => files.end());
  all.catch(() => {}); // thrown below
  try {
    yield* files;
    await all;
  } catch (error) {
    throw await fetchFailure(error, options.signal);
  } finally {
    broken.abort();
    await Promise.allSettled(workers); // before the folder that they write to goes
  }
}

/** The layers as they can be fetched, until the last, or until the signal is aborted, whose reason it throws then. */
export async function* streamLayers(
  layers: Queue<AnnouncedLayer>,
  options: FetchOptions,
): AsyncGenerator<IncomingLayer> {
  const { signal } = options;
  signal.throwIfAborted(); // one that has been aborted says so no more
  const onStop = (): void => layers.end();
  signal.addEventListener("abort", onStop);
  try {
    for await (const layer of layers) {
      signal.throwIfAborted();
      refuseNonLayerType(layer.mediaType);
      if (layer.cutting === undefined) refuseUnsupportedCompression(layer.mediaType);
      if (options.named !== undefined && options.named.get(layer.diffId) !== layer.digest)
        throw new InvalidImage(`the layer ${layer.diffId} is sent as another blob than its manifest names`);
      // One that is being made has been counted; if it comes whole, it is refused before it is fetched.
      if (layer.cutting === undefined || options.rebuild === undefined) options.limit.refuse(layer.size);
      yield incomingLayer(layer, options);
    }
    signal.throwIfAborted();
  } finally {
    signal.removeEventListener("abort", onStop);
  }
}

/** What went wrong while layers were fetched, as a person should be told it. */
export async function fetchFailure(error: unknown, signal: AbortSignal): Promise<unknown> {
  // A connection that breaks, before an answer or in it, is often the first sign of what the sender is about to say.
  const isSign = isBrokenConnection(error) || (error instanceof Failure && error.code === "registry-unavailable");
  if (isSign && !signal.aborted) await resolveWithin(LAST_WORDS, once(signal, "abort"));
  return signal.aborted ? signal.reason : layerFailure(error, "loaded");
}
