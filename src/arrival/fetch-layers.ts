import { createReadStream } from "node:fs";
import { rm } from "node:fs/promises";
import { once } from "node:events";
import { Readable } from "node:stream";
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
import { ArrivingFile } from "../store/arriving-file.ts";
import type { KeptLayers } from "../store/kept-layers.ts";
import { isBroken, isOtherContent, refuseWithoutSpace, spoolFailure, type Spool } from "../store/spool.ts";
import type { LayerFile } from "../store/store.ts";
import { part } from "../streams/part.ts";
import { queue, type Queue } from "../streams/queue.ts";
import { within } from "../streams/within.ts";
import { keepWhileSlow } from "./keep-while-slow.ts";

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
  /** What earlier runs have left, and this one will; left out: nothing. */
  kept: KeptLayers | undefined;
  /** Bytes that have come, each time some have; not what was here. */
  onBytes: (count: number) => void;
  /** A layer is continued behind so many bytes of an earlier run. */
  onContinued: (layer: AnnouncedLayer, bytes: number) => void;
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
    for await (const layer of coming) {
      stop.throwIfAborted();
      const { diffId, size, blob } = layer;
      const path = (await layer.rebuild()) ?? (await fetchInto(spool, layer, options.kept, stop));
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

/** Fetches a layer into a file, behind what is there of it. Once more from its beginning when that was not right. */
async function fetchInto(
  spool: Spool,
  { diffId, size, blob, fetch }: ComingLayer,
  kept: KeptLayers | undefined,
  signal: AbortSignal,
): Promise<string> {
  const open = async (): Promise<ArrivingFile> =>
    (await kept?.take(blob)) ?? (await ArrivingFile.create(spool.pathFor(hexOf(diffId))));
  const fill = async (file: ArrivingFile): Promise<string> => {
    await kept?.makeRoom(size - file.before);
    await refuseWithoutSpace(spool, size - file.before);
    await pipeline(
      await fetch(file),
      async (bytes) => {
        for await (const _ of bytes); // it has been written by then
      },
      { signal },
    );
    return file.path;
  };
  const file = await open();
  try {
    return await fill(file);
  } catch (error) {
    await file.close();
    if (kept === undefined || file.before === 0 || !isOtherContent(error)) throw error;
    await kept.drop(file);
    // A layer that was read out of an engine as it passed is not to be had again.
    return await fill(await open()).catch((again: unknown) => {
      throw signal.aborted ? again : misled(again);
    });
  }
}

/** A layer that can be fetched. */
export interface ComingLayer extends LayerToStream {
  /** What is fetched. */
  blob: Descriptor;
  /** The path of its proven file, when it can be made of what is here. */
  rebuild: () => Promise<string | undefined>;
  /** The same as `open`, into a file, which has all of it at the end. The file is the caller's to close when this rejects. */
  fetch: (file: ArrivingFile) => Promise<Readable>;
}

/** The layers as they can be fetched, until the last, or until the signal is aborted, whose reason it throws then. */
export async function* streamLayers(layers: Queue<AnnouncedLayer>, options: FetchOptions): AsyncGenerator<ComingLayer> {
  const { signal, kept, limit, onLayer } = options;
  signal.throwIfAborted(); // one that has been aborted says so no more
  const onStop = (): void => layers.end();
  signal.addEventListener("abort", onStop);
  try {
    for await (const layer of layers) {
      signal.throwIfAborted();
      const { diffId, isCut, ...blob } = layer;
      refuseOtherType(blob.mediaType);
      refuseUnknownPacking(blob.mediaType);
      limit.refuse(blob.size);
      const rebuild = async (): Promise<string | undefined> => {
        const path = isCut === true ? await options.rebuild?.(layer) : undefined;
        if (path !== undefined) onLayer();
        return path;
      };
      yield {
        diffId,
        size: blob.size,
        blob,
        rebuild,
        open: async () => {
          const path = await rebuild();
          if (path !== undefined) return createReadStream(path).once("close", () => void rm(path, { force: true }));
          // The engine is given it as it comes; the file is for the next run alone.
          return await openLayer(layer, options, await kept?.takeIfRoom(blob), keepWhileSlow());
        },
        fetch: async (file) => await openLayer(layer, options, file),
      };
    }
    signal.throwIfAborted();
  } finally {
    signal.removeEventListener("abort", onStop);
  }
}

/** A layer on its way, proven: what the file has of it, then what comes, which is put into the file. */
async function openLayer(
  layer: AnnouncedLayer,
  { client, repository, signal, limit, onBytes, onLayer, onContinued }: FetchOptions,
  file?: ArrivingFile,
  goesOn?: (bytes: number) => boolean,
): Promise<Readable> {
  const { diffId, isCut: _, ...blob } = layer;
  const from = file?.before ?? 0;
  if (from > 0) onContinued(layer, from);
  const { first, bytes } = await client.stream(repository, blob.digest, { from, signal });
  bytes.on("error", () => {}); // it may be before it is read; whoever reads it hears of it
  const come = part(counted(bytes, onBytes), { first: from - first });
  const checked = checkLayer({ blob, diffId, limit });
  checked.once("end", onLayer);
  checked.once("error", (error) => {
    if (file !== undefined && isOtherContent(error)) file.isWrong = true;
  });
  checked.once("close", () => bytes.destroy()); // who leaves while what was here is read has not begun with it
  const all = file === undefined ? come : file.pass(come, goesOn === undefined ? {} : { goesOn });
  pipeline(Readable.from(all, { objectMode: false }), checked, { signal }).catch(() => {}); // whoever reads it hears of it
  return checked;
}

async function* counted(bytes: AsyncIterable<Buffer>, onBytes: (count: number) => void): AsyncGenerator<Buffer> {
  for await (const chunk of bytes) {
    onBytes(chunk.length);
    yield chunk;
  }
}

/** What an earlier run had left of a layer is not of that layer. */
export function misled(cause: unknown): Failure {
  return new Failure("not-verified", "what an earlier run had received of a layer is not right (any more)", {
    expected: "the beginning of that layer, in the cache folder (~/.cache/docker-over-ssh)",
    hint: "It has been removed, and nothing was loaded. Run the same command again: the layer is then sent from its beginning.",
    cause,
  });
}

/** What went wrong while layers were fetched, as a person should be told it. */
export async function fetchFailure(error: unknown, signal: AbortSignal): Promise<unknown> {
  // A connection that breaks, before an answer or in it, is often the first sign of what the sender is about to say.
  const isSign = isBroken(error) || (error instanceof Failure && error.code === "registry-unavailable");
  if (isSign && !signal.aborted) await within(LAST_WORDS, once(signal, "abort"));
  return signal.aborted ? signal.reason : spoolFailure(error, "loaded");
}
