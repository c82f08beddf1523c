import { CACHE_FOLDER } from "../files/cache-folder.ts";
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { AnnouncedLayer } from "../conversation/messages.ts";
import { verifyLayer } from "../image/layer/verify-layer.ts";
import { refuseUnsupportedCompression } from "../image/layer/decompress-layer.ts";
import { coalesce } from "../streams/coalesce.ts";
import type { SizeLimit } from "../image/layer/size-limit.ts";
import type { LayerToStream } from "../image/docker/write-docker-archive.ts";
import { hexOf, type Digest } from "../image/digest.ts";
import type { Descriptor } from "../image/manifest.ts";
import { Failure } from "../output/errors.ts";
import type { RegistryClient } from "../registry/registry-client.ts";
import { ResumableFile } from "../store/resumable-file.ts";
import type { ResumeCache } from "../store/resume-cache.ts";
import { isInvalidContent } from "../store/layer-failure.ts";
import { refuseWithoutSpace, type Spool } from "../run/spool.ts";
import type { LayerFile } from "../store/store.ts";
import { countBytes } from "../streams/count-bytes.ts";
import { byteRange } from "../streams/byte-range.ts";
import { cacheWhileSlow } from "./cache-while-slow.ts";

export interface FetchOptions {
  client: RegistryClient;
  repository: string;
  signal: AbortSignal;
  /** By diff ID, the digests of the only blobs that will do. Left out: any. */
  named?: ReadonlyMap<Digest, Digest> | undefined;
  /** What earlier runs have left, and this one will; left out: nothing. */
  resumeCache: ResumeCache | undefined;
  /** Bytes that have come, each time some have; not what was here. */
  onBytes: (count: number) => void;
  /** A layer is continued behind so many bytes of an earlier run. */
  onContinued: (layer: AnnouncedLayer, bytes: number) => void;
  onLayer: () => void;
  /** What all of them together may unpack to. */
  limit: SizeLimit;
  /**
   * Makes a layer that can be had in pieces of what is here and the pieces that are not: resolves to its proven file. Where it is to come whole,
   * or that did not go well, to what is to be fetched of it.
   */
  rebuild?: (layer: AnnouncedLayer) => Promise<LayerFile | AnnouncedLayer>;
}

/** A layer that can be fetched. */
export interface IncomingLayer extends LayerToStream {
  kind: "coming";
  /** What is fetched. */
  blob: Descriptor;
  /** How it comes: its proven file, when it has been made of what is here; else what is to be fetched. */
  settle: () => Promise<LayerFile | IncomingLayer>;
  /** The same as `open`, into a file, which has all of it at the end. The file is the caller's to close when this rejects. */
  fetch: (file: ResumableFile) => Promise<Readable>;
}

/** One that has been announced. */
export function incomingLayer(layer: AnnouncedLayer, options: FetchOptions): IncomingLayer {
  const { diffId, cutting, ...blob } = layer;
  const coming: IncomingLayer = {
    kind: "coming",
    diffId,
    size: blob.size,
    blob,
    async settle() {
      if (cutting === undefined || options.rebuild === undefined) return coming;
      const settled = await options.rebuild(layer);
      if (!("path" in settled)) {
        const { cutting: _, ...whole } = settled;
        refuseUnsupportedCompression(whole.mediaType);
        return incomingLayer(whole, options);
      }
      options.onLayer();
      return settled;
    },
    // The engine is given it as it comes; the file is for the next run alone.
    open: async () => await openLayer(layer, options, await options.resumeCache?.takeIfSpace(blob), cacheWhileSlow()),
    fetch: async (file) => await openLayer(layer, options, file),
  };
  return coming;
}

/** The same layers, of which it is settled how each comes: for whoever must know how large it is. */
export async function* settled(layers: AsyncIterable<IncomingLayer>): AsyncGenerator<IncomingLayer> {
  for await (const coming of layers) {
    const layer = await coming.settle();
    if (layer.kind === "coming") yield layer;
    else yield { ...coming, size: layer.size, blob: layer.blob, open: async () => createReadStream(layer.path) };
  }
}

/** Fetches a layer into a file, behind what is there of it. Once more from its beginning when that was not right. */
export async function fetchInto(
  spool: Spool,
  { diffId, size, blob, fetch }: IncomingLayer,
  resumeCache: ResumeCache | undefined,
  signal: AbortSignal,
): Promise<string> {
  const open = async (): Promise<ResumableFile> =>
    (await resumeCache?.take(blob)) ?? (await ResumableFile.create(spool.pathFor(hexOf(diffId))));
  const fill = async (file: ResumableFile): Promise<string> => {
    await resumeCache?.freeSpace(size - file.resumedBytes);
    await refuseWithoutSpace(spool, size - file.resumedBytes);
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
    if (resumeCache === undefined || file.resumedBytes === 0 || !isInvalidContent(error)) throw error;
    await resumeCache.drop(file);
    // A layer that was read out of an engine as it passed is not to be had again.
    return await fill(await open()).catch((again: unknown) => {
      throw signal.aborted ? again : resumeFailure(again);
    });
  }
}

/** A layer on its way, proven: what the file has of it, then what comes, which is put into the file. */
async function openLayer(
  layer: AnnouncedLayer,
  { client, repository, signal, limit, onBytes, onLayer, onContinued }: FetchOptions,
  file?: ResumableFile,
  keepGoing?: (bytes: number) => boolean,
): Promise<Readable> {
  const { diffId, cutting: _, ...blob } = layer;
  limit.refuse(blob.size);
  const from = file?.resumedBytes ?? 0;
  if (from > 0) onContinued(layer, from);
  const { first, bytes } = await client.stream(repository, blob.digest, { from, signal });
  bytes.on("error", () => {}); // it may be before it is read; whoever reads it hears of it
  const come = coalesce(byteRange(countBytes(bytes, onBytes), { first: from - first }));
  const share = limit.share();
  const checked = verifyLayer({ blob, diffId, limit: share });
  checked.once("end", onLayer);
  checked.once("error", (error) => {
    if (file === undefined || !isInvalidContent(error)) return;
    file.isInvalid = true;
    void file.remove(); // at once: who is killed now leaves nothing that is wrong
    share.release();
  });
  checked.once("close", () => bytes.destroy()); // who leaves while what was here is read has not begun with it
  const all = file === undefined ? come : file.pass(come, keepGoing === undefined ? {} : { keepGoing });
  pipeline(Readable.from(all, { objectMode: false }), checked, { signal }).catch(() => {}); // whoever reads it hears of it
  return checked;
}

/** What an earlier run had left of a layer is not of that layer. */
export function resumeFailure(cause: unknown): Failure {
  return new Failure("not-verified", "what an earlier run had received of a layer is not right (any more)", {
    expected: `the beginning of that layer, in ${CACHE_FOLDER}`,
    hint: "It has been removed, and nothing was loaded. Run the same command again: the layer is then sent from its beginning.",
    cause,
  });
}
