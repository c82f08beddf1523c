import type { EngineProgress } from "../../engine/engine-images.ts";
import { EngineError } from "../../engine/engine-error.ts";
import type { Digest } from "../../image/digest.ts";
import { addRebuilder } from "../../rebuild/add-rebuilder.ts";
import type { RebuildSpeed } from "../../rebuild/delta-choice.ts";
import type { DeltaBases } from "../../rebuild/delta-bases.ts";
import { lazySpool, type LazySpool } from "../../run/spool.ts";
import type { ImageToLoad, PresentLayers, TargetStore } from "../../store/store.ts";
import { queue } from "../../streams/queue.ts";
import { fetchInSequence } from "./fetch-in-sequence.ts";
import { fetchFailure, fetchLayers, streamLayers } from "../fetch-layers.ts";
import { rebuildFirst, resumeFailure, type FetchOptions } from "../incoming-layer.ts";
import { LoadProgress } from "./load-progress.ts";
import type { EngineReceiveOptions } from "../receive-options.ts";
import { requestLayers, type RequestedLayers } from "../request-layers.ts";
import { unpackZstdLayers } from "./unpack-zstd-layers.ts";

/** An image in a store under its temporary name. */
export interface LoadedImage {
  id: Digest;
  /** The bytes of the layers' blobs, bottom first. */
  sizes: readonly number[];
  /** The plain bytes of the missing layers that were found in delta bases. */
  bytesFound: number;
}

export interface LayersToLoad {
  present: PresentLayers;
  /** The missing layers, bottom first. */
  wanted: readonly Digest[];
  deltaBases: DeltaBases | undefined;
}

/** The speed at which a store loads a stream, in plain bytes a second. Docker 26.1 loaded a layer of 546 MB at 47 MB/s. */
const STREAM_TAKES_IN = 50_000_000;
/**
 * The speed at which a store loads files, in plain bytes a second. 546 MB took 3.7 s uncompressed, as after a rebuild, and 1 s compressed.
 */
const FILES_TAKE_IN = 300_000_000;

/** Loads an image while its missing layers are fetched and verified. An archive with an invalid layer is truncated. */
export async function loadWhileFetching(
  store: TargetStore,
  { present, wanted, deltaBases }: LayersToLoad,
  name: string,
  options: EngineReceiveOptions,
): Promise<LoadedImage> {
  const { about, env, runId, output, signal, resumeCache } = options;
  const progress = new LoadProgress(options.onProgress);
  using requested = await requestLayers(options, wanted, deltaBases);
  const over = new AbortController();
  const { platform, diffIds, manifest } = about;
  const config = configForLoad(requested, progress, options);
  const onProgress = (line: EngineProgress): void => progress.add(line);
  const image = { platform, diffIds, ...present, config, manifest, onProgress, cancel: () => over.abort() };
  try {
    await using spool = lazySpool(env, runId);
    await using rebuilder = addRebuilder(
      { ...requested.fetch, signal: AbortSignal.any([signal, over.signal]) },
      requested.cuttable,
      {
        deltaBases,
        spool,
        choice: requested.deltaChoice(rebuildSpeed(store, deltaBases)),
        onDetail: (detail) => output.detail(detail),
      },
    );
    const pending = { store, image, progress, wanted, requested, spool, fetch: rebuilder.fetch, over };
    const id = await loadAs(name, pending);
    const { layers } = (await requested.metadata()).manifest;
    return { id, bytesFound: rebuilder.bytesFound(), sizes: layers.map(({ size }) => size) };
  } catch (error) {
    if (resumeCache?.hasResumedInvalidFile && !signal.aborted) throw resumeFailure(error);
    throw error instanceof EngineError ? error : await fetchFailure(error, signal);
  }
}

/** Returns the config after the last layer has arrived. From then on, the load is not interrupted. */
function configForLoad(
  { metadata }: RequestedLayers,
  progress: LoadProgress,
  { signal }: EngineReceiveOptions,
): () => Promise<Buffer> {
  return async () => {
    const { config } = await metadata();
    signal.throwIfAborted();
    progress.begin();
    return config;
  };
}

interface PendingLoad {
  store: TargetStore;
  image: Omit<ImageToLoad<never>, "layers">;
  progress: LoadProgress;
  wanted: readonly Digest[];
  requested: RequestedLayers;
  spool: LazySpool;
  fetch: FetchOptions;
  over: AbortController;
}

/** Passes the layers to the store, as streams or as files, whichever it accepts. */
async function loadAs(
  name: string,
  { store, image, progress, wanted, requested, spool, fetch, over }: PendingLoad,
): Promise<Digest> {
  const feed = async <Layer extends { diffId: Digest; size: number }>(
    layers: AsyncGenerator<Layer>,
    load: (image: ImageToLoad<Layer>) => Promise<Digest>,
  ): Promise<Digest> => {
    try {
      return await load({ ...image, layers: progress.watch(layers) });
    } finally {
      // The store needs no further layers.
      over.abort();
      await layers.return(undefined).catch(() => {});
    }
  };
  if (store.takes === "streams") {
    const layers = unpackZstdLayers(rebuildFirst(streamLayers(requested.layers, fetch)), spool, fetch.limit);
    return await feed(fetchInSequence(layers, fetch.signal), async (whole) => await store.load(whole, name));
  }
  const files = fetchLayers(requested.layers, wanted, await spool.open(), fetch);
  return await feed(files, async (whole) => await store.load(whole, name));
}

/** Returns how fast layers are rebuilt, and how fast a store loads them afterwards. */
export function rebuildSpeed({ takes }: TargetStore, deltaBases: DeltaBases | undefined): RebuildSpeed {
  return { reads: deltaBases?.reads ?? "files", takesIn: takes === "streams" ? STREAM_TAKES_IN : FILES_TAKE_IN };
}

/** Loads an image whose layers and config are present, and reports to the sender that nothing is wanted. */
export async function loadPresentLayers(
  store: TargetStore,
  { present, config }: { present: PresentLayers; config: Buffer },
  name: string,
  { about, decline }: EngineReceiveOptions,
): Promise<LoadedImage> {
  await decline();
  const { platform, diffIds } = about;
  const layers = queue<never>();
  layers.end();
  const image = { platform, diffIds, ...present, layers, config: async () => config, cancel: () => {} };
  const sizes = new Map([...present.lowest, ...present.others].map(({ diffId, blob }) => [diffId, blob?.size ?? 0]));
  const id = await store.load(image, name);
  return { id, sizes: diffIds.map((diffId) => sizes.get(diffId) ?? 0), bytesFound: 0 };
}
