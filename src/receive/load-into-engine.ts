import type { Engine } from "../engine/engine.ts";
import { EngineError } from "../engine/engine-error.ts";
import { temporaryName } from "../run/run-id.ts";
import { forgetName } from "../engine/temporary-name.ts";
import type { Digest } from "../image/digest.ts";
import { Failure, messageOf } from "../output/errors.ts";
import { lazySpool } from "../run/spool.ts";
import type { ImageToLoad, PresentLayers, TargetStore } from "../store/store.ts";
import { queue } from "../streams/queue.ts";
import { countLayers, type ReceivedImage, type EngineReceiveOptions } from "./received-image.ts";
import { resumeFailure, settled } from "./incoming-layer.ts";
import type { RebuildSpeed } from "../rebuild/delta-choice.ts";
import { fetchFailure, fetchLayers, streamLayers } from "./fetch-layers.ts";
import { ask } from "./fetch-image.ts";
import { findPresentLayers } from "./find-present-layers.ts";
import { fetchInSequence } from "./fetch-in-sequence.ts";
import { addRebuilder } from "../rebuild/add-rebuilder.ts";
import type { DeltaBases } from "../rebuild/delta-bases.ts";
import { unpackZstdLayers } from "./unpack-zstd-layers.ts";

/** No registry is behind this name: it is only for the time until the image has been proven. */
const NOWHERE = "localhost";

/**
 * Fetches what the store lacks, proves it, and loads it as a partial archive. What the store has is told by its content store, or by
 * chain IDs, which are the same on every engine.
 */
export async function loadIntoEngine(options: EngineReceiveOptions): Promise<ReceivedImage> {
  const { about, engine, image, run, output } = options;
  const { diffIds } = about;
  const name = temporaryName(NOWHERE, image.path, [run]);
  const lookup = await findPresentLayers(options);
  const { known, store, noDeltaReason } = lookup;
  if (known.id !== undefined) {
    await options.decline();
    options.resumeCache?.relate(diffIds);
    const counts = { layersSent: 0, layersPresent: diffIds.length, bytesPresent: 0 };
    return { name: known.id, id: known.id, isVerified: true, ...counts, [Symbol.asyncDispose]: async () => {} };
  }

  const bring = async (present: PresentLayers): Promise<ReceivedImage> => {
    options.resumeCache?.relate(
      [...present.lowest, ...present.others].flatMap(({ diffId, blob }) => [diffId, blob?.digest ?? diffId]),
    );
    const isMissing = whatIsMissing(diffIds, present);
    const wanted = diffIds.filter((_, index) => isMissing[index]);
    await using deltaBases = wanted.length > 0 ? await lookup.deltaBases() : undefined;
    const { id, sizes, bytesFound } =
      known.config === undefined || wanted.length > 0
        ? await load(store, { present, wanted, deltaBases }, name, { ...options, noDeltaReason })
        : await loadWhatIsHere(store, { present, config: known.config }, name, options);
    return arrivalOf(engine, { name, id, ...countLayers(sizes, isMissing), bytesFound });
  };

  let present = await lookup.present();
  for (;;) {
    try {
      return await bring(present);
    } catch (error) {
      await forgetName(engine, name);
      const before = present;
      if (options.mayAskAgain && error instanceof EngineError) present = await lookup.present();
      // What `docker rmi` took away since we looked is to be sent; anything else would go wrong again.
      if (!hasLess(present, before)) throw notLoaded(error, engine);
      output.detail("something that the engine had of the image is gone: what is missing now is asked for");
    }
  }
}

/** Of the layers that were present, one is not. */
function hasLess(now: PresentLayers, before: PresentLayers): boolean {
  const isThere = new Set([...now.lowest, ...now.others].map(({ diffId }) => diffId));
  return [...before.lowest, ...before.others].some(({ diffId }) => !isThere.has(diffId));
}

function notLoaded(error: unknown, { address }: Engine): unknown {
  if (!(error instanceof EngineError)) return error;
  return new Failure("transfer-failed", `the receiving engine would not load the image: ${messageOf(error)}`, {
    expected: `${address} to take an archive of the layers that it lacks`,
    hint: "Run the same command again, or let the engine pull by itself with --via pull.",
    cause: error,
  });
}

/** A store that is given its archive as it comes unpacks meanwhile what comes whole; Docker 26.1 took 47 MB/s of a layer of 546 MB. */
const STREAM_TAKES_IN = 50_000_000;
/** One that is given files is given plain ones for packed ones: 546 MB took 3.7 s, packed 1. */
const FILES_TAKE_IN = 300_000_000;

function makingOf({ takes }: TargetStore, deltaBases: DeltaBases | undefined): RebuildSpeed {
  return { reads: deltaBases?.reads ?? "files", takesIn: takes === "streams" ? STREAM_TAKES_IN : FILES_TAKE_IN };
}

interface Loaded {
  id: Digest;
  /** Of the layers' blobs, bottom first, bytes. */
  sizes: readonly number[];
  /** Of the layers that were missing, in files that were here. */
  bytesFound: number;
}

/** For each of an image's layers, whether the store does not have it. */
function whatIsMissing(diffIds: readonly Digest[], { lowest, others }: PresentLayers): boolean[] {
  const above = new Set(others.map(({ diffId }) => diffId));
  return diffIds.map((diffId, index) => index >= lowest.length && !above.has(diffId));
}

interface AtHand {
  present: PresentLayers;
  /** The layers that are not, bottom first. */
  wanted: readonly Digest[];
  deltaBases: DeltaBases | undefined;
}

/** Puts the image in while its layers come, proven on the way: an archive with one that is not right breaks off before its end. */
async function load(
  store: TargetStore,
  { present, wanted, deltaBases }: AtHand,
  name: string,
  options: EngineReceiveOptions,
): Promise<Loaded> {
  const { about, env, run, output, signal, resumeCache, onProgress } = options;
  using incoming = await ask(options, wanted, deltaBases);
  const config = async (): Promise<Buffer> => {
    const opened = await incoming.opened();
    signal.throwIfAborted(); // from here on, it is not interrupted
    onProgress({ stage: "loading", current: 0 });
    return opened.config;
  };
  const over = new AbortController();
  const { platform, diffIds, manifest } = about;
  const delivery = { platform, diffIds, ...present, config, manifest, cancel: () => over.abort() };
  const wanting = AbortSignal.any([signal, over.signal]);
  /** Those that the store has no use for any more are not fetched. */
  const giving = async <Layer>(
    layers: AsyncGenerator<Layer>,
    load: (whole: ImageToLoad<Layer>) => Promise<Digest>,
  ): Promise<Digest> => {
    try {
      return await load({ ...delivery, layers });
    } finally {
      over.abort();
      await layers.return(undefined).catch(() => {});
    }
  };
  try {
    await using spool = lazySpool(env, run);
    const onDetail = (text: string): void => output.detail(text);
    const makings = { deltaBases, spool, onDetail, choice: incoming.choose(makingOf(store, deltaBases)) };
    await using rebuilt = addRebuilder({ ...incoming.fetching, signal: wanting }, incoming.cuttable, makings);
    const { fetch: fetching, bytesFound } = rebuilt;
    let id: Digest;
    if (store.takes === "streams") {
      const layers = fetchInSequence(
        unpackZstdLayers(settled(streamLayers(incoming.layers, fetching)), spool, fetching.limit),
        fetching.signal,
      );
      id = await giving(layers, async (whole) => await store.load(whole, name));
    } else {
      const layers = fetchLayers(incoming.layers, wanted, await spool.open(), fetching);
      id = await giving(layers, async (whole) => await store.load(whole, name));
    }
    const { layers } = (await incoming.opened()).manifest;
    return { id, bytesFound: bytesFound(), sizes: layers.map(({ size }) => size) };
  } catch (error) {
    if (resumeCache?.hasResumedInvalidFile && !signal.aborted) throw resumeFailure(error);
    throw error instanceof EngineError ? error : await fetchFailure(error, signal);
  }
}

/** Of an image that lacks nothing but its manifest and its name, nothing is asked of the sender. */
async function loadWhatIsHere(
  store: TargetStore,
  { present, config }: { present: PresentLayers; config: Buffer },
  name: string,
  { about, decline }: EngineReceiveOptions,
): Promise<Loaded> {
  await decline();
  const { platform, diffIds } = about;
  const layers = queue<never>();
  layers.end();
  const delivery = { platform, diffIds, ...present, layers, config: async () => config, cancel: () => {} };
  const sizeOf = new Map([...present.lowest, ...present.others].map(({ diffId, blob }) => [diffId, blob?.size ?? 0]));
  const id = await store.load(delivery, name);
  return { id, sizes: diffIds.map((diffId) => sizeOf.get(diffId) ?? 0), bytesFound: 0 };
}

function arrivalOf(engine: Engine, arrived: Omit<ReceivedImage, keyof AsyncDisposable>): ReceivedImage {
  return { ...arrived, [Symbol.asyncDispose]: async () => await forgetName(engine, arrived.name) };
}
