import { createReadStream, createWriteStream } from "node:fs";
import { rm } from "node:fs/promises";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { AnnouncedLayer } from "../conversation.ts";
import { checkLayer } from "../image/archive/check-layer.ts";
import { refuseOtherType } from "../image/archive/compression.ts";
import { refuseUnknownPacking } from "../image/archive/decode-layer.ts";
import type { SizeLimit } from "../image/archive/prove.ts";
import type { LayerToStream } from "../image/archive/write-docker-archive.ts";
import { hexOf, type Digest } from "../image/digest.ts";
import type { Descriptor } from "../image/manifest.ts";
import { Failure } from "../output/errors.ts";
import type { RegistryClient } from "../registry/client.ts";
import { isBroken, refuseWithoutSpace, spoolFailure, type Spool } from "../store/spool.ts";
import type { LayerFile } from "../store/store.ts";
import { queue, type Queue } from "../streams/queue.ts";
import { within } from "../streams/within.ts";

/**
 * Bytes from which on a layer has the wire for itself, so that the lowest is there early and can be loaded while the others come.
 * Beside it small ones are fetched, so many at once, which would else wait for a round trip each.
 */
const LARGE = 8_000_000;
const SMALL_AT_ONCE = 2;

/** ms */
const LAST_WORDS = 1000;

export interface FetchOptions {
  client: RegistryClient;
  repository: string;
  signal: AbortSignal;
  /** Bytes that have come, each time some have. */
  onBytes: (count: number) => void;
  onLayer: () => void;
  /** What all of them together may unpack to. */
  limit: SizeLimit;
  /** Makes a layer of what is here and the pieces that are not: the path of its proven file, or undefined where it must come whole. */
  rebuild?: (layer: AnnouncedLayer) => Promise<string | undefined>;
}

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
  const byRank = (): Queue<ComingLayer> => queue<ComingLayer>(({ diffId }) => wanted.indexOf(diffId));
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
  const worker = async (coming: Queue<ComingLayer>): Promise<void> => {
    for await (const { diffId, size, rebuild, fetch, blob } of coming) {
      stop.throwIfAborted();
      await refuseWithoutSpace(spool, size);
      let path = await rebuild();
      if (path === undefined) {
        path = spool.pathFor(hexOf(diffId));
        await pipeline(await fetch(), createWriteStream(path, { mode: 0o600 }), { signal: stop });
      }
      files.push({ kind: "file", diffId, path, size, blob });
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

/** A layer that can be fetched. */
export interface ComingLayer extends LayerToStream {
  /** What is fetched. */
  blob: Descriptor;
  /** The path of its proven file, when it can be made of what is here. */
  rebuild: () => Promise<string | undefined>;
  /** All of it, through the tunnel. */
  fetch: () => Promise<Readable>;
}

/** The layers as they can be fetched, until the last, or until the signal is aborted, whose reason it throws then. */
export async function* streamLayers(
  layers: Queue<AnnouncedLayer>,
  { client, repository, signal, onBytes, onLayer, limit, rebuild: make }: FetchOptions,
): AsyncGenerator<ComingLayer> {
  signal.throwIfAborted(); // one that has been aborted says so no more
  const onStop = (): void => layers.end();
  signal.addEventListener("abort", onStop);
  try {
    for await (const layer of layers) {
      const { diffId, isCut, ...blob } = layer;
      signal.throwIfAborted();
      refuseOtherType(blob.mediaType);
      refuseUnknownPacking(blob.mediaType);
      limit.refuse(blob.size);
      const fetch = async (): Promise<Readable> => {
        const body = await client.stream(repository, blob.digest, signal);
        body.on("data", (chunk: Buffer) => onBytes(chunk.length));
        const checked = checkLayer({ blob, diffId, limit });
        checked.once("end", onLayer);
        pipeline(body, checked, { signal }).catch(() => {}); // whoever reads it hears of it
        return checked;
      };
      const rebuild = async (): Promise<string | undefined> => {
        const path = isCut === true ? await make?.(layer) : undefined;
        if (path !== undefined) onLayer();
        return path;
      };
      const open = async (): Promise<Readable> => {
        const path = await rebuild();
        return path === undefined
          ? await fetch()
          : createReadStream(path).once("close", () => void rm(path, { force: true }));
      };
      yield { diffId, size: blob.size, blob, rebuild, fetch, open };
    }
    signal.throwIfAborted();
  } finally {
    signal.removeEventListener("abort", onStop);
  }
}

/** What went wrong while layers were fetched, as a person should be told it. */
export async function fetchFailure(error: unknown, signal: AbortSignal): Promise<unknown> {
  // A connection that breaks, before an answer or in it, is often the first sign of what the sender is about to say.
  const isSign = isBroken(error) || (error instanceof Failure && error.code === "registry-unavailable");
  if (isSign && !signal.aborted) await within(LAST_WORDS, once(signal, "abort"));
  return signal.aborted ? signal.reason : spoolFailure(error, "loaded");
}
