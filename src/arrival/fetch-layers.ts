import { createWriteStream } from "node:fs";
import { once } from "node:events";
import { pipeline } from "node:stream/promises";
import type { AnnouncedLayer } from "../conversation.ts";
import { checkLayer } from "../image/archive/check-layer.ts";
import { sizeLimit } from "../image/archive/prove.ts";
import { hexOf, type Digest } from "../image/digest.ts";
import type { RegistryClient } from "../registry/client.ts";
import { isBroken, refuseWithoutSpace, spoolFailure, type Spool } from "../store/spool.ts";
import type { LayerFile } from "../store/store.ts";
import type { Queue } from "../streams/queue.ts";
import { within } from "../streams/within.ts";

/** Layers fetched at once: the wire is one, but the registry's disk, the checking and ours go on beside each other. */
const AT_ONCE = 3;

/** ms */
const LAST_WORDS = 1000;

export interface FetchOptions {
  repository: string;
  signal: AbortSignal;
  /** Bytes that have come, each time some have. */
  onBytes: (count: number) => void;
  onLayer: () => void;
  /** Bytes that all of them together may unpack to. */
  maxSize: number | undefined;
}

/**
 * Fetches layers into the spool, and proves each while it comes: the blob by its digest and size, what it unpacks to by its
 * diff ID. Resolves to a file for each of `wanted`, in that order, when `layers` has ended; a layer that stands in an image
 * twice comes once. Rejects with the first failure; the others are given up.
 */
export async function fetchLayers(
  client: RegistryClient,
  layers: Queue<AnnouncedLayer>,
  wanted: readonly Digest[],
  spool: Spool,
  { repository, signal, onBytes, onLayer, maxSize }: FetchOptions,
): Promise<LayerFile[]> {
  const files = new Map<Digest, LayerFile>();
  const limit = sizeLimit(maxSize);
  const broken = new AbortController();
  const stop = AbortSignal.any([signal, broken.signal]);
  const onStop = (): void => layers.end();
  stop.addEventListener("abort", onStop);
  const worker = async (): Promise<void> => {
    for await (const { diffId, ...blob } of layers) {
      stop.throwIfAborted();
      limit.refuse(blob.size);
      await refuseWithoutSpace(spool, blob.size);
      const path = spool.pathFor(hexOf(diffId));
      const body = await client.stream(repository, blob.digest);
      stop.throwIfAborted();
      body.on("data", (chunk: Buffer) => onBytes(chunk.length));
      await pipeline(body, checkLayer({ blob, diffId, limit }), createWriteStream(path, { mode: 0o600 }), {
        signal: stop,
      });
      files.set(diffId, { kind: "file", diffId, path, blob });
      onLayer();
    }
  };
  const workers = Array.from({ length: AT_ONCE }, worker);
  try {
    await Promise.all(workers);
    stop.throwIfAborted();
    return wanted.flatMap((diffId) => files.get(diffId) ?? []);
  } catch (error) {
    broken.abort(error);
    await Promise.allSettled(workers); // before the folder that they write to goes
    // A broken connection is often the first sign of what the sender is about to say.
    if (isBroken(error)) await aborted(signal, LAST_WORDS);
    throw spoolFailure(error, "loaded");
  } finally {
    stop.removeEventListener("abort", onStop);
  }
}

/** Resolves when the signal is aborted, or after so many ms. */
async function aborted(signal: AbortSignal, ms: number): Promise<void> {
  if (!signal.aborted) await within(ms, once(signal, "abort"));
}
