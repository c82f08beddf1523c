import { createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { checkLayer } from "../image/archive/check-layer.ts";
import { hexOf, type Digest } from "../image/digest.ts";
import type { Descriptor } from "../image/manifest.ts";
import type { RegistryClient } from "../registry/client.ts";
import { spoolFailure, type Spool } from "../store/spool.ts";
import type { LayerFile } from "../store/store.ts";

/** Layers fetched at once: the wire is one, but the registry's disk, the checking and ours go on beside each other. */
const AT_ONCE = 3;

export interface MissingLayer {
  diffId: Digest;
  blob: Descriptor;
}

export interface FetchOptions {
  repository: string;
  signal: AbortSignal;
  /** Bytes that have come, each time some have. */
  onBytes: (count: number) => void;
  onLayer: () => void;
}

/**
 * Fetches layers into the spool, and proves each while it comes: the blob by its digest and size, what it unpacks to by its
 * diff ID. Rejects with the first failure; the others are given up.
 */
export async function fetchLayers(
  client: RegistryClient,
  missing: readonly MissingLayer[],
  spool: Spool,
  { repository, signal, onBytes, onLayer }: FetchOptions,
): Promise<LayerFile[]> {
  // A layer that stands in an image twice comes once.
  const files = new Map<Digest, LayerFile>();
  const queue = [...new Map(missing.map((layer) => [layer.diffId, layer])).values()];
  const broken = new AbortController();
  const stop = AbortSignal.any([signal, broken.signal]);
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const { diffId, blob } = next;
      const path = spool.pathFor(hexOf(diffId));
      const body = await client.stream(repository, blob.digest);
      stop.throwIfAborted();
      body.on("data", (chunk: Buffer) => onBytes(chunk.length));
      await pipeline(body, checkLayer({ blob, diffId }), createWriteStream(path, { mode: 0o600 }), { signal: stop });
      files.set(diffId, { kind: "file", diffId, path, blob });
      onLayer();
    }
  };
  const workers = Array.from({ length: AT_ONCE }, worker);
  try {
    await Promise.all(workers);
    return missing.flatMap(({ diffId }) => files.get(diffId) ?? []);
  } catch (error) {
    broken.abort(error);
    await Promise.allSettled(workers); // before the folder that they write to goes
    throw spoolFailure(error, "loaded");
  }
}
