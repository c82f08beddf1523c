import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { AnnouncedLayer } from "../conversation/messages.ts";
import { CACHE_FOLDER } from "../files/cache-folder.ts";
import { hexOf, type Digest } from "../image/digest.ts";
import type { LayerToStream } from "../image/docker/write-docker-archive.ts";
import { refuseUnsupportedCompression } from "../image/layer/decompress-layer.ts";
import type { SizeLimit } from "../image/layer/size-limit.ts";
import { verifyLayer } from "../image/layer/verify-layer.ts";
import type { Descriptor } from "../image/manifest.ts";
import { Failure } from "../output/errors.ts";
import type { RegistryClient } from "../registry/registry-client.ts";
import { refuseWithoutSpoolSpace, type Spool } from "../run/spool.ts";
import { isInvalidContent } from "../store/layer-failure.ts";
import { ResumableFile } from "../store/resumable-file.ts";
import type { ResumeCache } from "../store/resume-cache.ts";
import type { LayerFile } from "../store/store.ts";
import { byteRange } from "../streams/byte-range.ts";
import { coalesce } from "../streams/coalesce.ts";
import { countBytes } from "../streams/count-bytes.ts";
import { cacheWhileSlow } from "./cache-while-slow.ts";
import type { FetchProgress } from "./fetch-progress.ts";

export interface FetchOptions {
  client: RegistryClient;
  repository: string;
  signal: AbortSignal;
  /** The digests of the blobs in a manifest to preserve, by diff ID; no other blobs are accepted. If undefined, any blob is accepted. */
  named?: ReadonlyMap<Digest, Digest> | undefined;
  /** Partial layers of earlier runs, and for the next run. If undefined, there are none. */
  resumeCache: ResumeCache | undefined;
  /** Receives the size of each chunk from the sender, of any layer. */
  onBytes: (count: number) => void;
  /** Called when a layer is about to be fetched whole, after `bytesPresent` bytes of an earlier run. */
  onStart: (layer: AnnouncedLayer, bytesPresent: number) => void;
  progress: FetchProgress;
  /** Limits the uncompressed bytes of all layers together. */
  limit: SizeLimit;
  /**
   * Rebuilds a layer from delta bases. Resolves to the verified file, or to the layer to fetch whole. If undefined, no layer is rebuilt.
   */
  rebuild?: (layer: AnnouncedLayer) => Promise<LayerFile | AnnouncedLayer>;
}

/** A layer that can be fetched. */
export interface IncomingLayer extends LayerToStream {
  kind: "incoming";
  /** The blob to fetch. */
  blob: Descriptor;
  /** Rebuilds the layer if that is possible and chosen. Resolves to the verified file, or to the layer to fetch whole. */
  rebuild: () => Promise<LayerFile | IncomingLayer>;
  /** Fetches the layer like `open`, and writes it to a file, which is complete at the end. If this rejects, the caller closes the file. */
  fetch: (file: ResumableFile) => Promise<Readable>;
}

export function incomingLayer(announced: AnnouncedLayer, options: FetchOptions): IncomingLayer {
  const { diffId, cutting, ...blob } = announced;
  const layer: IncomingLayer = {
    kind: "incoming",
    diffId,
    size: blob.size,
    blob,
    async rebuild() {
      if (cutting === undefined || options.rebuild === undefined) return layer;
      const result = await options.rebuild(announced);
      if ("path" in result) {
        options.progress.finish(diffId);
        return result;
      }
      const { cutting: _, ...whole } = result;
      refuseUnsupportedCompression(whole.mediaType);
      return incomingLayer(whole, options);
    },
    // The layer is streamed to the engine, so the file only serves the next run.
    open: async () =>
      await openLayer(announced, options, await options.resumeCache?.takeIfSpace(blob), cacheWhileSlow()),
    fetch: async (file) => await openLayer(announced, options, file),
  };
  return layer;
}

/** First rebuilds each layer for which that is chosen, so that its size is known before it is opened. */
export async function* rebuildFirst(layers: AsyncIterable<IncomingLayer>): AsyncGenerator<IncomingLayer> {
  for await (const layer of layers) {
    const result = await layer.rebuild();
    if (result.kind === "incoming") yield result;
    else yield { ...layer, size: result.size, blob: result.blob, open: async () => createReadStream(result.path) };
  }
}

/** Fetches a layer into a file, after the bytes of an earlier run, or from its beginning if these are invalid. Returns the file's path. */
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
    await refuseWithoutSpoolSpace(spool, size - file.resumedBytes);
    await pipeline(
      await fetch(file),
      async (bytes) => {
        for await (const _ of bytes); // the file has already written the bytes
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
    // The sender cannot send a layer again if it reads the layer from a stream.
    return await fill(await open()).catch((again: unknown) => {
      throw signal.aborted ? again : resumeFailure(again);
    });
  }
}

/**
 * Opens a layer, and verifies it while it is read: first the bytes in `file`, then the bytes from the sender, which are written to `file`.
 */
async function openLayer(
  announced: AnnouncedLayer,
  { client, repository, signal, limit, onBytes, onStart, progress }: FetchOptions,
  file?: ResumableFile,
  keepGoing?: (bytes: number) => boolean,
): Promise<Readable> {
  const { diffId, cutting: _, ...blob } = announced;
  limit.refuse(blob.size);
  const from = file?.resumedBytes ?? 0;
  onStart(announced, from);
  const { first, bytes } = await client.stream(repository, blob.digest, { from, signal });
  bytes.on("error", () => {}); // an error may occur before it is read; its reader gets the error as well
  const onChunk = (count: number): void => {
    onBytes(count);
    progress.receive(diffId, count);
  };
  const received = coalesce(byteRange(countBytes(bytes, onChunk), { first: from - first }));
  const share = limit.share();
  const verified = verifyLayer({ blob, diffId, limit: share });
  verified.once("end", () => progress.finish(diffId));
  verified.once("error", (error) => {
    if (file === undefined || !isInvalidContent(error)) return;
    file.isInvalid = true;
    void file.remove(); // immediately, so that a killed run leaves no invalid file
    share.release();
  });
  verified.once("close", () => bytes.destroy()); // it is not yet read while the resumed bytes are read
  const all = file === undefined ? received : file.pass(received, keepGoing === undefined ? {} : { keepGoing });
  pipeline(Readable.from(all, { objectMode: false }), verified, { signal }).catch(() => {}); // the reader of `verified` gets the error
  return verified;
}

/** Returns the Failure for a resumed layer that has failed verification. */
export function resumeFailure(cause: unknown): Failure {
  return new Failure("not-verified", "the part of a layer that an earlier run received is invalid", {
    expected: `the beginning of that layer in ${CACHE_FOLDER}`,
    hint: "It was removed, and nothing was loaded. Run the same command again: the layer is then sent from its beginning.",
    cause,
  });
}
